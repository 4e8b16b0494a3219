"""Why each image stands in live/."""
