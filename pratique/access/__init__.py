"""Temporary access to the vault: granted with a lease, revoked, and proven gone."""
