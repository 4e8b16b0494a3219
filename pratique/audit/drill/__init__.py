"""A drill that bypasses the quarantine on purpose, to test the alert."""
