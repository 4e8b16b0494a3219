"""The audit of live/: why each image is there, and a drill of the alert."""
