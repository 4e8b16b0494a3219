"""Manifests as files: read like kustomize reads them, and edited without touching other bytes. No git, no Azure."""
