"""Pull requests on GitHub and Azure DevOps."""
