"""An image's way from upstream to the manifests: resolve, quarantine, promote, deliver."""
