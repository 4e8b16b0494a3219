"""How commands end that do not end well: one line, an exit code, and no traceback unless asked for."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from pratique.cli.app import app, main
from pratique.cli.frame import DEFECT, INTERRUPTED, PIPE_CLOSED, exit_on_error
from pratique.cli.output import write_json
from pratique.errors import ConfigurationError, GateBlocked
from tests.conftest import RunningSandbox
from tests.waiting import HANGS

EXAMPLE = Path(__file__).parents[3] / "examples" / "bootstrap.yaml"
SECRET = "https://me:hunter2@git.example/x"


def _run(error: BaseException, *options: str) -> Result:
    """The result of a command that raises an error."""
    one = typer.Typer(pretty_exceptions_enable=False)
    one.callback()(main)

    @one.command()
    @exit_on_error
    def fail() -> None:
        raise error

    return CliRunner().invoke(one, [*options, "fail"])


def _process(program: str, **variables: str) -> subprocess.Popen[str]:
    """A process with a command line of one command, whose body is given."""
    lines = [
        "import sys, typer",
        "from pratique.cli.app import main",
        "from pratique.cli.frame import exit_on_error",
        "from pratique.cli.output import print_line",
        "def command() -> None:",
        *(f"    {line}" for line in program.splitlines()),
        "app = typer.Typer(pretty_exceptions_enable=False)",
        "app.callback()(main)",
        "app.command()(exit_on_error(command))",
        "app()",
    ]
    run, pipe = [sys.executable, "-c", "\n".join(lines), "command"], subprocess.PIPE
    return subprocess.Popen(run, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=os.environ | variables)


def test_a_defect_is_called_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line with where the details are: a file of its owner's, without secrets."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ended = _run(KeyError(f"no {SECRET}"))
    assert ended.exit_code == DEFECT
    (line,) = ended.stderr.splitlines()
    assert line.startswith("pratique: KeyError: This is a defect of pratique")
    (details,) = tmp_path.iterdir()
    assert str(details) in line
    assert details.stat().st_mode & 0o077 == 0
    text = details.read_text()
    assert text.startswith("Traceback")
    assert "https://***@git.example/x" in text
    assert "hunter2" not in text


def test_a_defect_where_no_file_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line says how to see the details."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    ended = _run(KeyError("x"))
    assert ended.exit_code == DEFECT
    assert ended.stderr.endswith("which are printed with --debug.\n")


@pytest.mark.parametrize(
    ("error", "code"), [(KeyError(SECRET), DEFECT), (GateBlocked("promote", SECRET, "No.", "Wait."), 3)]
)
def test_debug_prints_the_traceback(error: Exception, code: int) -> None:
    """Of a defect and of an error of ours, with the same exit code, and still without secrets."""
    ended = _run(error, "--debug")
    assert ended.exit_code == code
    assert ended.stderr.startswith("Traceback (most recent call last):")
    assert ended.stderr.splitlines()[-1].startswith(f"pratique: {type(error).__name__}: ")
    assert "hunter2" not in ended.stderr
    assert "Traceback" not in _run(error).stderr


def test_what_a_machine_lacks_is_no_defect() -> None:
    """A file that cannot be opened, or a full disk."""
    for error in (PermissionError(errno.EACCES, "Permission denied", "/x/y"), OSError(errno.ENOSPC, "No space left")):
        ended = _run(error)
        assert ended.exit_code == 1
        (line,) = ended.stderr.splitlines()
        assert line.startswith("pratique: ")
        assert str(error.strerror) in line
        assert "defect" not in line
    assert _run(ConnectionResetError("x")).exit_code == DEFECT


def test_ctrl_c(sandbox: RunningSandbox) -> None:
    """Exit code 130 and one line, while a request is on its way."""
    sandbox.azure.faults.add(kind="timeout", times=None)
    command = [sys.executable, "-m", "pratique", "check", str(EXAMPLE)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    give_up = time.monotonic() + HANGS
    while not any(entry.fault for entry in sandbox.azure.requests.since()):
        assert process.poll() is None
        assert time.monotonic() < give_up
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=HANGS)
    assert process.returncode == INTERRUPTED
    assert errors == "pratique: Interrupted.\n"


@pytest.mark.parametrize("write", ["print_line('x' * 1000)", "typer.echo('x' * 1000)", "print('x')"])
def test_a_pipe_that_nobody_reads_any_longer(write: str) -> None:
    """Exit code 141 and silence, whether much is written or little, by whatever."""
    process = _process(f"sys.stdin.readline()\nfor _ in range(100): {write}")
    assert process.stdout is not None
    assert process.stdin is not None
    process.stdout.close()
    process.stdin.write("\n")
    process.stdin.close()
    assert process.wait(HANGS) == PIPE_CLOSED
    assert process.stderr is not None
    assert process.stderr.read() == ""


@pytest.mark.parametrize("command", ["prepare", "plan", "rescan", "probe"])
def test_a_result_that_could_not_be_written_is_refused_at_the_start(command: str, tmp_path: Path) -> None:
    """Exit code 2 for a folder that is missing, and for one in place of the file: not after an hour."""
    for path in (tmp_path / "absent" / "result.json", tmp_path):
        refused = CliRunner().invoke(app, [command, str(EXAMPLE), "--output", str(path)])
        assert refused.exit_code == 2
        assert "--output" in refused.stderr
        assert "Traceback" not in refused.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has this device")
def test_a_result_that_cannot_be_written_after_all() -> None:
    """A full disk is no defect."""
    with pytest.raises(ConfigurationError, match="No space left"):
        write_json({"a": 1}, Path("/dev/full"))


def test_text_that_the_terminal_cannot_show() -> None:
    """Is escaped, and does not end the command."""
    output, errors = _process("print_line('n\u00e9')", PYTHONIOENCODING="ascii").communicate(timeout=HANGS)
    assert (output, errors) == ("n\\xe9\n", "")


def test_prefect_settings_that_cannot_be_read() -> None:
    """Exit code 2 and the setting, from a command that needs Prefect."""
    environment = os.environ | {"PREFECT_API_REQUEST_TIMEOUT": "soon"}
    run = [sys.executable, "-m", "pratique", "prepare", str(EXAMPLE)]
    done = subprocess.run(run, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert re.match(r"pratique: Prefect's APISettings are invalid: request_timeout: ", last)
    assert "Traceback" not in done.stderr
