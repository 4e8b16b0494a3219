"""Pull requests, at whoever keeps the GitOps repository: GitHub or Azure DevOps."""
