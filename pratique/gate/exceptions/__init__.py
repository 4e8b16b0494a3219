"""Findings and missing scans that somebody answers for: exceptions files, acceptances, OpenVEX."""
