"""Records that outlive a run, on their own branch of the GitOps repository."""
