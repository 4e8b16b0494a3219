"""git: clone, edit, commit, sign and push, with or without a pull request."""
