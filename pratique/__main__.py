"""``python -m pratique``."""

from pratique.cli import app

app()
