"""A cluster's infrastructure: deployed, found again, and handed to the next step."""
