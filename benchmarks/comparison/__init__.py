"""Compares ways to prepare a cluster, on the same local Azure: ours, the walkthrough's commands, and a bare script."""
