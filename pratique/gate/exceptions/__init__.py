"""Waivers for findings and missing scans: exceptions, acceptances, OpenVEX documents."""
