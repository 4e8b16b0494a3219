"""The formats in which findings arrive. Pure: bytes in, observations out."""
