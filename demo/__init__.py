"""A complete run on a local Azure. Only the demo uses both the product and the sandbox; it runs them as commands."""
