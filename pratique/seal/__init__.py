"""Locks on what was promoted into ``live/``: what to lock, what to unlock, and what somebody else has put there."""
