"""Pull requests and rules of branches on GitHub and Azure DevOps."""
