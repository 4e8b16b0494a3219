"""What is kept between runs, on a branch of its own in the GitOps repository."""
