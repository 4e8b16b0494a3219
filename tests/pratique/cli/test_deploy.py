"""``pratique deploy`` without a Prefect server. ``make test-automations`` runs it against one."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from typer.testing import CliRunner, Result

from pratique.cli.app import app
from pratique.cli.deployment_files import AUTOMATIONS, PREFECT_FILE, TEMPLATES, require_files
from pratique.deployment import CHECKOUT
from pratique.errors import ConfigurationError
from tests.processes import free_port


def _deploy(url: str | None) -> Result:
    restored = {PREFECT_API_URL} if url is None else set()
    with temporary_settings({} if url is None else {PREFECT_API_URL: url}, restore_defaults=restored):
        return CliRunner().invoke(app, ["deploy"], env={"PREFECT_API_URL": None, "PRATIQUE_NOTIFY": None})


def test_without_a_server() -> None:
    """Exit code 2 and one line when PREFECT_API_URL is not set."""
    refused = _deploy(None)
    assert refused.exit_code == 2
    (line,) = refused.stderr.splitlines()
    assert line.startswith("pratique: ConfigurationError: Could not deploy (PREFECT_API_URL): It is not set.")


def test_a_server_that_does_not_answer() -> None:
    """Exit code 1 and one line with its address."""
    url = f"http://127.0.0.1:{free_port()}/api"
    failed = _deploy(url)
    assert failed.exit_code == 1
    (line,) = failed.stderr.splitlines()
    assert line.startswith(f"pratique: Unavailable: Could not deploy (Prefect server {url}): ")


def test_a_server_that_refuses() -> None:
    """Exit code 1 and one line with the status, here of a missing password."""

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(401)

        def log_message(self, *_: object) -> None:
            """Tests print nothing."""

    with HTTPServer(("127.0.0.1", 0), Refusing) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        failed = _deploy(f"http://127.0.0.1:{listener.server_port}/api")
        listener.shutdown()
    assert failed.exit_code == 1
    (line,) = failed.stderr.splitlines()
    assert line.startswith("pratique: AuthenticationFailed: Could not deploy (Prefect server ")
    assert "401" in line
    assert "PREFECT_API_AUTH_STRING" in line


@pytest.mark.parametrize("missing", [PREFECT_FILE, AUTOMATIONS.relative_to(CHECKOUT), TEMPLATES.relative_to(CHECKOUT)])
def test_files_that_are_not_installed(missing: Path, tmp_path: Path) -> None:
    """A wheel holds no deployments/: the error names what is missing and how to get it."""
    for path in (AUTOMATIONS, TEMPLATES):
        (tmp_path / path.relative_to(CHECKOUT)).mkdir(parents=True)
    (tmp_path / PREFECT_FILE).touch()
    require_files(tmp_path)
    (tmp_path / missing).rename(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError) as refused:
        require_files(tmp_path)
    assert refused.value.subject == str(tmp_path / missing)
    assert "make install" in refused.value.remedy


def test_files_are_found_in_the_checkout() -> None:
    """An editable installation finds them."""
    require_files()
