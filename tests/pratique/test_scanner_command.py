"""Commands of scanners: what could leave something out of a report is refused, however it is written."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pratique.config.scanner_command import REFUSED, Format, filters, parse_command

FORMATS: tuple[Format, ...] = ("trivy", "grype")
TRIVY, GRYPE = ("trivy", "image"), ("grype",)


@pytest.mark.parametrize(
    ("format", "command", "program", "flags"),
    [
        ("trivy", [*TRIVY, "{image}"], ["trivy"], []),
        ("trivy", ["/usr/bin/trivy", "i", "{image}"], ["/usr/bin/trivy"], []),
        (
            "trivy",
            ["trivy", "--quiet", "image", "--cache-dir", "/c", "{image}"],
            ["trivy"],
            ["--quiet", "--cache-dir=/c"],
        ),
        ("trivy", [*TRIVY, "-qd", "--cache-dir=/c", "{image}"], ["trivy"], ["--quiet", "--debug", "--cache-dir=/c"]),
        (
            "trivy",
            [*TRIVY, "{image}", "--format", "json", "--severity=LOW,MEDIUM,HIGH,CRITICAL,UNKNOWN"],
            ["trivy"],
            [],
        ),
        ("trivy", [*TRIVY, "-f", "json", "--scanners", "vuln", "--pkg-types", "library,os", "{image}"], ["trivy"], []),
        ("trivy", [*TRIVY, "-fjson", "--skip-db-update=true", "{image}"], ["trivy"], ["--skip-db-update"]),
        (
            "trivy",
            ["docker", "run", "--rm", "aquasec/trivy:0.74.0", "image", "{image}"],
            ["docker", "run", "--rm", "aquasec/trivy:0.74.0"],
            [],
        ),
        ("trivy", ["scan.sh", "image", "{image}"], ["scan.sh"], []),
        ("trivy", ["python", "scan.py", "image", "--quiet", "{image}"], ["python", "scan.py"], ["--quiet"]),
        (
            "grype",
            [*GRYPE, "--quiet", "--output", "json", "--by-cve", "registry:{image}"],
            ["grype"],
            ["--quiet", "--by-cve"],
        ),
        (
            "grype",
            [*GRYPE, "-o", "json", "-o", "cyclonedx-json", "-q", "-vv", "{image}"],
            ["grype"],
            ["--quiet", "--verbose", "--verbose"],
        ),
        (
            "grype",
            ["docker", "run", "anchore/grype@sha256:0f", "{image}"],
            ["docker", "run", "anchore/grype@sha256:0f"],
            [],
        ),
        ("grype", ["nice", "grype", "--from", "registry", "{image}"], ["nice", "grype"], []),
    ],
    ids=str,
)
def test_commands(format: Format, command: list[str], program: list[str], flags: list[str]) -> None:
    """Options that leave a report complete are kept; what the gate sets anyway is dropped."""
    parsed = parse_command(format, command)
    assert [*parsed.program] == program
    assert [*parsed.flags] == flags


@pytest.mark.parametrize(
    ("format", "options", "reason"),
    [
        ("trivy", ["--severity", "HIGH,CRITICAL"], "--severity HIGH,CRITICAL is not allowed: it leaves findings out"),
        ("trivy", ["--severity=CRITICAL"], "leaves findings out"),
        ("trivy", ["-s", "CRITICAL"], "leaves findings out"),
        ("trivy", ["-sCRITICAL"], "leaves findings out"),
        ("trivy", ["-s=CRITICAL"], "leaves findings out"),
        ("trivy", ["-qs", "CRITICAL"], "leaves findings out"),
        ("trivy", ["--ignore-unfixed"], "leaves findings out"),
        ("trivy", ["--ignore-unfixed=true"], "leaves findings out"),
        ("trivy", ["--pkg-types", "os"], "leaves findings out"),
        ("trivy", ["--vuln-type=library"], "leaves findings out"),
        ("trivy", ["--scanners", "secret"], "leaves findings out"),
        ("trivy", ["--list-all-pkgs=false"], "leaves findings out"),
        ("trivy", ["--show-suppressed=false"], "leaves findings out"),
        ("trivy", ["--skip-files", "/a"], "leaves findings out"),
        ("trivy", ["--skip-dirs=/a"], "leaves findings out"),
        ("trivy", ["--ignorefile", "x"], "rules of its own"),
        ("trivy", ["--ignore-policy", "x"], "rules of its own"),
        ("trivy", ["--vex", "repo"], "rules of its own"),
        ("trivy", ["--config", "x"], "rules of its own"),
        ("trivy", ["-c", "x"], "rules of its own"),
        ("trivy", ["--module-dir", "x"], "rules of its own"),
        ("trivy", ["--vuln-severity-source", "x"], "rules of its own"),
        ("trivy", ["--sbom-sources", "oci"], "something else than the image"),
        ("trivy", ["--distro", "alpine/3.22"], "something else than the image"),
        ("trivy", ["--input", "x.tar"], "something else than the image"),
        ("trivy", ["--image-src", "docker"], "something else than the image"),
        ("trivy", ["--platform", "linux/arm64"], "something else than the image"),
        ("trivy", ["--output", "x"], "standard output"),
        ("trivy", ["-o", "x"], "standard output"),
        ("trivy", ["--format", "table"], "standard output"),
        ("trivy", ["--exit-code", "1"], "exit code 0"),
        ("trivy", ["--password", "x"], "other processes can see"),
        ("trivy", ["--brand-new"], "does not know"),
        ("trivy", ["--cache-dir"], "{image}"),
        ("trivy", ["--"], "not allowed"),
        ("trivy", ["-"], "not allowed"),
        ("trivy", ["another"], "needs the arguments image {image}"),
        ("grype", ["--only-fixed"], "leaves findings out"),
        ("grype", ["--only-notfixed"], "leaves findings out"),
        ("grype", ["--ignore-states", "wont-fix"], "leaves findings out"),
        ("grype", ["--exclude", "/a"], "leaves findings out"),
        ("grype", ["--scope", "squashed"], "leaves findings out"),
        ("grype", ["-s", "all-layers"], "leaves findings out"),
        ("grype", ["--vex", "x"], "rules of its own"),
        ("grype", ["-c", "x"], "rules of its own"),
        ("grype", ["--profile", "x"], "rules of its own"),
        ("grype", ["--from", "docker"], "something else than the image"),
        ("grype", ["--distro", "alpine:3.22"], "something else than the image"),
        ("grype", ["--fail-on", "high"], "exit code 0"),
        ("grype", ["-f", "high"], "exit code 0"),
        ("grype", ["-o", "json=file"], "standard output"),
        ("grype", ["-o", "table"], "standard output"),
        ("grype", ["--file", "x"], "standard output"),
        ("grype", ["--brand-new"], "does not know"),
    ],
    ids=str,
)
def test_what_is_refused(format: Format, options: list[str], reason: str) -> None:
    """The message names the argument and the reason."""
    before = [*(TRIVY if format == "trivy" else GRYPE)]
    with pytest.raises(ValueError, match="command: ") as raised:
        parse_command(format, [*before, *options, "{image}"])
    assert reason in str(raised.value)


@pytest.mark.parametrize(
    ("format", "command"),
    [
        ("trivy", ["trivy", "{image}"]),
        ("trivy", ["trivy", "fs", "{image}"]),
        ("trivy", ["trivy", "image", "prefix-{image}"]),
        ("trivy", ["trivy", "image", "registry:{image}"]),
        ("trivy", ["docker", "run", "-e", "TRIVY_SEVERITY=HIGH", "aquasec/trivy", "image", "{image}"]),
        ("trivy", ["env", "TRIVY_IGNORE_UNFIXED=1", "trivy", "image", "{image}"]),
        ("grype", ["grype", "docker:{image}"]),
        ("grype", ["grype", "db", "{image}"]),
        ("grype", ["env", "GRYPE_ONLY_FIXED=true", "grype", "{image}"]),
    ],
    ids=str,
)
def test_commands_of_another_kind(format: Format, command: list[str]) -> None:
    """Only a scan of the image itself is a scan, and variables in front of the program are refused."""
    with pytest.raises(ValueError, match="command: "):
        parse_command(format, command)


OPTIONS = st.sampled_from(
    [
        *(f"--{name}" for name in REFUSED),
        *(f"--{name}=x" for name in REFUSED),
        *("--quiet", "--cache-dir=/c", "--cache-dir", "-q", "-s", "-sx", "-qs", "-c", "-o", "json", "x", "--", "-"),
        *("--severity=UNKNOWN,LOW,MEDIUM,HIGH,CRITICAL", "--pkg-types=os,library", "--scanners=vuln", "--by-cve"),
    ]
)
COMPLETE = frozenset({"--quiet", "--verbose", "--debug", "--cache-dir=/c", "--by-cve"})


@given(st.sampled_from(FORMATS), st.lists(OPTIONS, max_size=4), st.integers(0, 4))
def test_nothing_that_leaves_out_is_passed_on(format: Format, options: list[str], place: int) -> None:
    """However options are written and mixed: what is passed on leaves nothing out, and every other is refused."""
    command = [*options[:place], "{image}", *options[place:]]
    with suppress(ValueError):
        parsed = parse_command(format, [*(TRIVY if format == "trivy" else GRYPE), *command])
        unknown = {flag for flag in parsed.flags if flag not in COMPLETE and not flag.startswith("--cache-dir=")}
        assert not unknown


@given(st.sampled_from(FORMATS), st.lists(st.text(max_size=8) | OPTIONS, min_size=1, max_size=6))
def test_garbage(format: Format, command: list[str]) -> None:
    """Any command is parsed, or refused with a reason."""
    with suppress(ValueError):
        parse_command(format, command)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ([], []),
        (["image", "alpine:3.22", "--format", "json"], []),
        (["--severity", "HIGH", "--only-fixed"], ["--severity", "--only-fixed"]),
        (["--severity=HIGH", "--severity=LOW"], ["--severity"]),
        (["trivy image --ignore-unfixed --vex repo alpine"], ["--ignore-unfixed", "--vex"]),
        (["--scope"], ["--scope"]),
        (["image", "-s", "LOW"], ["-s"]),
        (["-sLOW", "-s=LOW", "-qsLOW", "-ds"], ["-sLOW", "-s", "-qsLOW", "-ds"]),
        (["-c", "x", "-severity", "LOW", "--ignore_unfixed"], ["-c", "-severity", "--ignore_unfixed"]),
        (["-fsarif", "-o", "json", "-q", "-", "--", "-1"], []),
        (["TRIVY_SEVERITY=LOW", "trivy"], ["TRIVY_SEVERITY"]),
        (["env GRYPE_SEARCH_SCOPE=squashed grype_only_fixed=true"], ["GRYPE_SEARCH_SCOPE", "grype_only_fixed"]),
        (["TRIVY_CACHE_DIR=/c", "DOCKER_CONFIG=/c", "severity"], []),
        (["sh -c 'trivy image --severity LOW'"], ["-c", "--severity"]),
    ],
    ids=str,
)
def test_filters(arguments: list[str], found: list[Any]) -> None:
    """The arguments of a scan show what it may have left out."""
    assert filters(arguments) == found
