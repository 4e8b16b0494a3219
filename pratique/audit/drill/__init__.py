"""Past the quarantine on purpose: does the alert fire?"""
