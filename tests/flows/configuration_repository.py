"""A Git repository with a configuration, and what somebody pushes there."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pratique.config import ConfigSource
from tests.flows.world import World, git

PATH = "clusters/green.yaml"


class ConfigRepository:
    """A bare repository with a configuration, and what somebody pushes there."""

    def __init__(self, folder: Path) -> None:
        self.bare, self.clone = folder / "configuration.git", folder / "configuration"
        self.clone.mkdir()
        git("init", "--quiet", folder=self.clone)
        git("init", "--quiet", "--bare", str(self.bare), folder=folder)

    def push(self, document: dict[str, Any], *options: str, **files: str) -> str:
        """Commit the configuration, and files beside it; returns the commit."""
        text = StringIO()
        YAML().dump(document, text)
        for name, content in {PATH: text.getvalue(), **files}.items():
            (self.clone / name).parent.mkdir(parents=True, exist_ok=True)
            (self.clone / name).write_text(content)
        git("add", "--all", folder=self.clone)
        git("commit", "--quiet", "--message", "Change", *options, folder=self.clone)
        git("push", "--quiet", "--force", str(self.bare), "HEAD:main", folder=self.clone)
        return git("rev-parse", "HEAD", folder=self.clone).strip()

    @property
    def source(self) -> ConfigSource:
        return ConfigSource(remote=f"file://{self.bare}", path=PATH)


def in_git(cluster: World) -> tuple[dict[str, Any], dict[str, str]]:
    """The world's configuration with relative paths, and the files that it names, by their paths in the repository."""
    document = cluster.config.model_dump(mode="json", exclude_unset=True)
    template, root = Path(document["cluster"]["template"]), Path(document["gate"]["trust_store"][0])
    document["cluster"]["template"], document["gate"]["trust_store"] = "stamp.json", ["../roots/defender.pem"]
    return document, {"clusters/stamp.json": template.read_text(), "roots/defender.pem": root.read_text()}
