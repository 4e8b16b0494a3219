"""A client for the OCI distribution API of any registry."""
