"""``pratique probe``: shows what a tenant does where Azure's behaviour is not documented, without changing anything."""
