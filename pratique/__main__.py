"""``python -m pratique``."""

from pratique.cli.app import app

app()
