"""Locks on what was promoted into ``live/``: what to lock, what to unlock again, and what somebody else has put there."""
