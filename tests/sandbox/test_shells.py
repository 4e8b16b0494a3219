"""``azure-sandbox env`` and ``run`` in real shells: none of them is ever left pointing at the real Azure."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.clients import answers, blocked_environment
from sandbox.home import Home
from sandbox.server import client_environment
from tests.waiting import HANGS

SCRIPTS = Path(sys.executable).parent
SHELLS = [shell for shell in ("sh", "bash", "dash", "zsh", "ksh") if shutil.which(shell)]
#: What a person's shell has who works with the real Azure.
REAL = {
    "AZURE_TENANT_ID": "real-tenant",
    "AZURE_SUBSCRIPTION_ID": "real-subscription",
    "AZURE_CLIENT_ID": "real-client",
    "AZURE_CLIENT_SECRET": "real-secret",
    "HTTPS_PROXY": "http://proxy.contoso.com:3128",
    "NO_PROXY": ".azure.com,.azurecr.io,.azure.net",
}
SHOW = 'printf "%s\\n" "code $?" "$HTTPS_PROXY" "$https_proxy" "$NO_PROXY" "$AZURE_CLIENT_ID" "$AZURE_CLIENT_SECRET"'
NOWHERE = blocked_environment()["HTTPS_PROXY"]
#: Ways to use what ``env`` prints.
FORMS = {
    "pasted": ('eval "$(cat {printed})"', "-i"),
    "in a script": ('eval "$(cat {printed})"',),
    "without quotes": ("eval $(cat {printed})",),
    "as a file": (". {printed}",),
}


def in_shell(name: str, script: str, *options: str) -> str:
    """What a script prints in the shell of somebody who works with the real Azure."""
    environment = os.environ | REAL | {"PATH": f"{SCRIPTS}:{os.environ['PATH']}", "ENV": "", "PS1": "", "PS2": ""}
    done = subprocess.run(
        [name, *options],
        env=environment,
        input=script,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=HANGS,
        start_new_session=True,  # an interactive shell would take the terminal of these tests
    )
    return done.stdout


def command(*arguments: str | Path) -> list[str]:
    return [str(SCRIPTS / "azure-sandbox"), *map(str, arguments)]


def run(*arguments: str | Path, home: Path) -> subprocess.CompletedProcess[str]:
    """``azure-sandbox run`` in the environment of somebody who works with the real Azure."""
    environment = os.environ | REAL
    words = command("run", "--home", home, *arguments)
    return subprocess.run(words, env=environment, check=False, capture_output=True, text=True, timeout=HANGS)


@pytest.fixture(scope="module")
def home(sandbox_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with keys, so that a sandbox starts at once, for these tests alone."""
    folder = tmp_path_factory.mktemp("home")
    shutil.copytree(sandbox_home, folder, dirs_exist_ok=True)
    (folder / "running.json").unlink(missing_ok=True)
    return folder


@pytest.fixture(scope="module")
def serving(home: Path) -> Iterator[Path]:
    """The home of a sandbox that runs."""
    process = subprocess.Popen(command("serve", "--port", "0", "--home", home), stdout=subprocess.DEVNULL)
    try:
        until_it_answers = command("run", "--home", home, "--wait", str(HANGS), "true")
        subprocess.run(until_it_answers, check=True, capture_output=True)
        yield home
    finally:
        process.terminate()
        process.wait(HANGS)


@pytest.fixture(params=["none", "killed", "another process", "another port", "no folder", "damaged note"])
def absent(request: pytest.FixtureRequest, tmp_path: Path, serving: Path) -> Path:
    """A home whose sandbox does not run, whatever was left behind."""
    folder = tmp_path / "home"
    if request.param == "no folder":
        folder.write_text("not a folder")
        return folder
    shutil.copytree(serving, folder)
    note = folder / "running.json"
    facts = json.loads(note.read_text())
    if request.param == "none":
        note.unlink()
    elif request.param == "killed":
        ended = subprocess.Popen(["true"])
        ended.wait()
        note.write_text(json.dumps(facts | {"pid": ended.pid}))
    elif request.param == "another process":
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        note.write_text(json.dumps(facts | {"pid": os.getpid(), "port": port}))
    elif request.param == "another port":
        # Another sandbox listens there by now, and this home's certificate authority is another one.
        (folder / "ca.pem").write_text((folder / "defender-root.pem").read_text())
    else:
        note.write_text("{")
    return folder


@pytest.mark.parametrize("shell", SHELLS)
def test_a_sandbox_that_is_just_starting(shell: str, home: Path, tmp_path: Path) -> None:
    """Right behind ``serve &`` the shell waits for it, and then points at it alone."""
    folder = tmp_path / "home"
    shutil.copytree(home, folder, ignore=shutil.ignore_patterns("running.json"))
    script = f"""azure-sandbox serve --port 0 --home {folder} >/dev/null &
eval "$(azure-sandbox env --home {folder} --wait {HANGS})"
{SHOW}
kill $!
wait $!
"""
    code, proxy, other, exceptions, identity, secret = in_shell(shell, script).splitlines()
    assert code == "code 0"
    assert proxy == other
    assert proxy.startswith("http://127.0.0.1:")
    assert exceptions == "127.0.0.1,::1"
    assert not {identity, secret} & {*REAL.values()}
    assert Home(folder).running() is None


def test_no_sandbox(absent: Path, tmp_path: Path) -> None:
    """The shell points at nothing, whatever it had before, and each way to use the output fails."""
    done = subprocess.run(command("env", "--home", absent, "--wait", "0"), check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"azure-sandbox serve --home {absent}" in done.stderr
    assert "Traceback" not in done.stderr
    printed = tmp_path / "printed"
    printed.write_text(done.stdout)
    for shell in SHELLS:
        for form, (line, *options) in FORMS.items():
            shown = in_shell(shell, f"{line.format(printed=printed)}\n{SHOW}\n", *options).splitlines()
            code, proxy, other, exceptions, *identity = shown[-6:]
            assert code == "code 1" or form == "without quotes", (shell, form)
            assert (proxy, other, exceptions) == (NOWHERE, NOWHERE, "127.0.0.1,::1"), (shell, form)
            assert not {*identity} & {*REAL.values()}, (shell, form)
        stopped = in_shell(shell, f'set -e\neval "$(cat {printed})"\necho went on\n')
        assert "went on" not in stopped, shell


def test_a_mistyped_option() -> None:
    """The shell points at nothing as well; help is no failure."""
    shown = in_shell("sh", f'eval "$(azure-sandbox env --hmoe x)"\n{SHOW}\n').splitlines()
    assert shown[:2] == ["code 1", NOWHERE]
    assert NOWHERE not in subprocess.run(command("env", "--help"), check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_killed_while_it_waits(number: signal.Signals, tmp_path: Path) -> None:
    """Also then the shell points at nothing."""
    waiting = subprocess.Popen(
        command("env", "--home", tmp_path / "home", "--wait", str(HANGS)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with waiting:
        assert waiting.stdout is not None
        first = waiting.stdout.readline()
        waiting.send_signal(number)
        printed = first + waiting.stdout.read()
    assert waiting.returncode != 0
    for shell in SHELLS:
        shown = in_shell(shell, f"{printed}\n{SHOW}\n").splitlines()
        assert shown[1] == NOWHERE
        assert not {*shown} & {*REAL.values()}
        assert (shown[0] == "code 1") == (number is signal.SIGINT)


def test_a_sandbox_that_dies_later(home: Path, tmp_path: Path) -> None:
    """Its variables still lead to a port where nothing listens: clients fail, and do not reach the real Azure."""
    folder = tmp_path / "home"
    shutil.copytree(home, folder, ignore=shutil.ignore_patterns("running.json"))
    process = subprocess.Popen(command("serve", "--port", "0", "--home", folder), stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    variables = client_environment(Home(folder))
    process.kill()
    process.communicate()
    assert (folder / "running.json").exists()
    assert not answers(Home(folder))
    curl = ("curl", "--silent", "--max-time", str(HANGS), "https://management.azure.com/")
    assert subprocess.run(curl, env=os.environ | REAL | variables, check=False).returncode != 0
    assert run("--wait", "0", "true", home=folder).returncode == 125


def test_blocked_variables_are_replaced(serving: Path) -> None:
    """What keeps a shell from the real Azure is gone as soon as a sandbox answers."""
    variables = client_environment(Home(serving))
    blocked = blocked_environment()
    assert {*blocked} <= {*variables}
    assert not {*blocked.values()} & {*variables.values()} - {"127.0.0.1,::1"}


def test_run(serving: Path) -> None:
    """The command gets its arguments, and the sandbox's variables over the caller's; it ends with its own exit code."""
    shown = run("--", "sh", "-c", SHOW, home=serving).stdout.splitlines()
    expected = client_environment(Home(serving))
    assert shown[1:] == [
        expected[name] for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")
    ]
    assert run("sh", "-c", 'test "$1" = --home && exit 7', "sh", "--home", home=serving).returncode == 7
    state = run("curl", "--silent", "--fail", "https://sandbox.localhost/state", home=serving)
    assert "roleAssignments" in json.loads(state.stdout)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_signals_reach_the_command(number: signal.Signals, serving: Path) -> None:
    """It takes the place of ``azure-sandbox``, so that it gets its signals and its end is the caller's to see."""
    script = f"sleep {HANGS} & trap 'kill $!; exit 9' {number.name.removeprefix('SIG')}; echo ready; wait"
    words = command("run", "--home", serving, "--", "sh", "-c", script)
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.wait(HANGS) == 9


def test_run_without_a_sandbox(absent: Path, tmp_path: Path) -> None:
    """The command does not run."""
    made = tmp_path / "made"
    done = run("--wait", "0", "--", "touch", made, home=absent)
    assert done.returncode == 125
    assert f"azure-sandbox serve --home {absent}" in done.stderr
    assert not made.exists()


def test_commands_that_cannot_run(serving: Path, tmp_path: Path) -> None:
    """One that does not exist, and one that is no program: the shell's own exit codes."""
    assert run("no-such-command", home=serving).returncode == 127
    (tmp_path / "data").touch()
    assert run(tmp_path / "data", home=serving).returncode == 126


def test_two_sandboxes(serving: Path, tmp_path: Path) -> None:
    """One with a home of its own does not serve another home; the end of one does not hide its successor."""
    assert not answers(Home(tmp_path))
    taken = subprocess.run(command("serve", "--port", "0", "--home", serving), check=False, capture_output=True)
    assert b"already running" in taken.stderr
    home = Home(tmp_path)
    home.remember({"address": "127.0.0.1", "port": 2, "pid": os.getpid()})
    home.forget(1)
    assert home.running() is not None
    home.forget(2)
    assert home.running() is None
