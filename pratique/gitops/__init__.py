"""The GitOps repository: cloned, edited, committed, and delivered by git, with or without a pull request."""
