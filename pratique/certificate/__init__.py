"""The ingress certificate: read, checked, stored, renewed."""
