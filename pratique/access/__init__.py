"""Temporary access to the vault: granted under a lease, revoked, and read back as gone."""
