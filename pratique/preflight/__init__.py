"""Check and plan: look, and change nothing."""
