"""Rescans live/: inventory, assessments, cases and their clocks, reactions, proposals."""
