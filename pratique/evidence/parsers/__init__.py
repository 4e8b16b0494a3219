"""Parsers of the formats in which findings arrive. Pure: documents in, assessments and rows out."""
