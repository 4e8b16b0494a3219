"""A client of the OCI distribution API, whoever runs the registry."""
