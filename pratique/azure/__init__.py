"""Adapters over the official SDKs; none of their errors leaves this folder."""
