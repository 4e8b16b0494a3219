"""Manifests as files: read as kustomize does, and edited byte by byte. Knows neither git nor Azure."""
