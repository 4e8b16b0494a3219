"""The ingress certificate: reading, checking, storing and renewing it."""
