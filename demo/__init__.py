"""The whole preparation on a local Azure: the only place that knows both the product and the sandbox, as commands."""
