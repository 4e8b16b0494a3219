"""The command of a scanner, as the configuration has it: which program, and which arguments leave its report complete.

>>> command = parse_command("trivy", ("trivy", "--quiet", "image", "--cache-dir", "/cache", "{image}"))
>>> command.program, command.flags
(('trivy',), ('--quiet', '--cache-dir=/cache'))
>>> filters(["image", "--severity", "HIGH", "{image}"])
['--severity']

An argument is refused unless it is known to leave nothing out, because a report does not say what it leaves out. What
the gate itself sets (format, packages, suppressed findings) may be given, with the value that the gate needs.

Facts: Trivy 0.74 ``pkg/flag``, Grype 0.121 ``cmd/grype/cli/options``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Format = Literal["trivy", "grype"]

IMAGE = "{image}"

_LEAVES_OUT = "it leaves findings out of the report"
_OTHER_CONTENT = "it makes the scanner look at something else than the image as it is in the registry"
_OTHER_OUTPUT = "the gate reads the report from standard output, as JSON, and needs exit code 0"
_OWN_RULES = "it applies rules of its own: exceptions belong into the files of gate.exceptions and gate.vex"
_VISIBLE = "other processes can see arguments: the gate hands the registry's login over in the environment"

#: Arguments that are refused, each with the reason. Every other argument that is not known is refused as well.
REFUSED: Mapping[str, str] = {
    **dict.fromkeys(
        (
            *("severity", "ignore-unfixed", "ignore-status", "vuln-type", "pkg-types", "pkg-relationships"),
            *("scanners", "security-checks", "skip-files", "skip-dirs", "skip-dir", "file-patterns", "compliance"),
            *("list-all-pkgs", "show-suppressed", "detection-priority", "only-fixed", "only-notfixed"),
            *("ignore-states", "exclude", "scope", "report", "ignored-licenses"),
        ),
        _LEAVES_OUT,
    ),
    **dict.fromkeys(
        (
            "ignorefile",
            "ignore-policy",
            "vex",
            "config",
            "profile",
            "vuln-severity-source",
            "module-dir",
            "enable-modules",
        ),
        _OWN_RULES,
    ),
    **dict.fromkeys(
        ("input", "platform", "distro", "image-src", "sbom-sources", "from", "name", "docker-host", "podman-host"),
        _OTHER_CONTENT,
    ),
    **dict.fromkeys(
        (
            *("format", "output", "template", "dependency-tree", "exit-code", "exit-on-eol", "fail-on", "file"),
            *("generate-default-config", "download-db-only", "download-java-db-only", "version", "help", "reset"),
        ),
        _OTHER_OUTPUT,
    ),
    **dict.fromkeys(("username", "password", "registry-token", "token"), _VISIBLE),
}


@dataclass(frozen=True)
class _Arguments:
    """The arguments that a scanner may be given.

    :ivar switches: without a value
    :ivar values: with a value
    :ivar fixed: what the gate sets: the values under which the report is complete, each as a set of its parts
    :ivar short: one-letter names
    """

    switches: frozenset[str]
    values: frozenset[str]
    fixed: Mapping[str, frozenset[frozenset[str]]]
    short: Mapping[str, str]


def _any_of(*values: str) -> frozenset[frozenset[str]]:
    return frozenset(frozenset(value.split(",")) for value in values)


_KNOWN: Mapping[str, _Arguments] = {
    "trivy": _Arguments(
        switches=frozenset(
            {
                *("quiet", "debug", "no-progress", "insecure", "skip-db-update", "skip-java-db-update", "offline-scan"),
                *("skip-version-check", "disable-telemetry", "list-all-pkgs", "show-suppressed", "removed-pkgs"),
            }
        ),
        values=frozenset(
            {
                *("timeout", "cache-dir", "db-repository", "java-db-repository", "cacert", "parallel", "server"),
                *("max-image-size",),
            }
        ),
        fixed={
            "format": _any_of("json"),
            "scanners": _any_of("vuln"),
            "pkg-types": _any_of("os,library"),
            "vuln-type": _any_of("os,library"),
            "severity": _any_of("UNKNOWN,LOW,MEDIUM,HIGH,CRITICAL"),
            "exit-code": _any_of("0"),
            "image-src": _any_of("remote"),
            "cache-backend": _any_of("memory", "fs"),
        },
        short={
            "q": "quiet",
            "d": "debug",
            "f": "format",
            "s": "severity",
            "o": "output",
            "c": "config",
            "t": "template",
        },
    ),
    "grype": _Arguments(
        switches=frozenset({"quiet", "verbose", "by-cve", "add-cpes-if-none"}),
        values=frozenset(),
        fixed={"output": _any_of("json", "cyclonedx-json"), "from": _any_of("registry")},
        short={
            "q": "quiet",
            "v": "verbose",
            "o": "output",
            "c": "config",
            "f": "fail-on",
            "s": "scope",
            "t": "template",
        },
    ),
}
_TARGETS: Mapping[str, frozenset[str]] = {"trivy": frozenset({IMAGE}), "grype": frozenset({IMAGE, f"registry:{IMAGE}"})}
#: The names of arguments that leave findings out, whatever their value.
_FILTERS = frozenset(name for name, reason in REFUSED.items() if reason in (_LEAVES_OUT, _OWN_RULES, _OTHER_CONTENT))
#: A variable in which a scanner reads an option: ``TRIVY_IGNORE_UNFIXED``, ``GRYPE_SEARCH_SCOPE``.
_SCANNERS_VARIABLE = re.compile(r"^(?:TRIVY|GRYPE|SYFT)_(?:SEARCH_)?", re.IGNORECASE)


@dataclass(frozen=True)
class ScannerCommand:
    """A command that is safe to run.

    :ivar program: the program, and what runs before it, such as ``docker run …``
    :ivar flags: the user's arguments, except those that the gate sets itself
    """

    program: tuple[str, ...]
    flags: tuple[str, ...]

    def has(self, flag: str) -> bool:
        return any(given.partition("=")[0] == f"--{flag}" for given in self.flags)

    def only(self, *flags: str) -> tuple[str, ...]:
        """The arguments with these names."""
        return tuple(given for given in self.flags if given.partition("=")[0] in {f"--{flag}" for flag in flags})


def parse_command(format: Format, command: Sequence[str]) -> ScannerCommand:
    """Split a command into its parts.

    :raises ValueError: when an argument could leave something out of the report, or is not known
    """
    start = _program_length(format, command)
    program, rest = tuple(command[:start]), list(command[start:])
    _require_no_variables(program)
    flags, others = _split(format, rest)
    expected = ["image", IMAGE] if format == "trivy" else [IMAGE]
    plain = [other.removeprefix("registry:") if format == "grype" else other for other in others]
    if plain == ["i", IMAGE] and format == "trivy":
        plain = expected
    if plain != expected:
        written = " ".join(expected) if format == "trivy" else f"{IMAGE} or registry:{IMAGE}"
        raise ValueError(
            f"command: besides options, {format} needs the arguments {written}, and has {' '.join(others)!r}"
        )
    return ScannerCommand(program, tuple(flags))


def filters(arguments: Sequence[str]) -> list[str]:
    """The arguments and variables of a scan, whatever the scanner, that could leave findings out; in their order."""
    given = [part.strip("'\",;").partition("=")[0] for argument in arguments for part in argument.split()]
    return list(dict.fromkeys(part for part in given if _is_filter(part)))


def _is_filter(argument: str) -> bool:
    """Whether an argument's name, or a variable's, is that of a filter; both programs' short names count."""
    name = _SCANNERS_VARIABLE.sub("--", argument).lower().replace("_", "-")
    if not name.startswith("-"):
        return False
    return name.lstrip("-") in _FILTERS or (not name.startswith("--") and _has_short_filter(argument[1:]))


def _has_short_filter(letters: str) -> bool:
    """Whether one of the one-letter names is a filter; what follows a name with a value is that value."""
    for letter in letters:
        names = {known.short.get(letter, "") for known in _KNOWN.values()}
        if names & _FILTERS:
            return True
        if not any(known.short.get(letter) in known.switches for known in _KNOWN.values()):
            return False
    return False


def _program_length(format: Format, command: Sequence[str]) -> int:
    """How many arguments come before the scanner's own: up to its name, or else up to the first that looks like one."""
    named = re.compile(rf"(?:^|/){format}(?::[^/]*)?(?:@.*)?$")
    for place, part in enumerate(command):
        if named.search(part):
            return place + 1
    own: Callable[[str], bool] = lambda part: part.startswith("-") or part == "image" or IMAGE in part  # noqa: E731
    return next((place for place, part in enumerate(command) if place and own(part)), len(command))


def _require_no_variables(program: Sequence[str]) -> None:
    for part in program:
        if re.search(r"\b(?:TRIVY|GRYPE)_[A-Z_]+", part):
            raise ValueError(f"command: {part!r}: variables of the scanner can leave findings out; use its options")


def _split(format: Format, arguments: list[str]) -> tuple[list[str], list[str]]:
    """The options, in their long form, and the other arguments."""
    flags: list[str] = []
    others: list[str] = []
    rest = [long for argument in arguments for long in _long(format, argument)]
    while rest:
        argument = rest.pop(0)
        if not argument.startswith("-"):
            others.append(argument)
            continue
        name, given, value = argument.removeprefix("--").partition("=")
        flags += _option(format, name, value if given else None, rest)
    return flags, others


def _long(format: Format, argument: str) -> list[str]:
    """An argument with its one-letter names written out: ``-qf=json`` is ``--quiet --format=json``."""
    if not argument.startswith("-") or argument.startswith("--"):
        return [argument]
    known, letters, long = _KNOWN[format], argument[1:], []
    while letters:
        name, letters = known.short.get(letters[0], letters[0]), letters[1:]
        if name in known.switches:
            long.append(f"--{name}")
            continue
        value = letters.removeprefix("=")
        return [*long, f"--{name}={value}" if letters else f"--{name}"]
    return long or ["-"]


def _option(format: Format, name: str, value: str | None, rest: list[str]) -> list[str]:
    """The option as the gate passes it on; nothing where the gate sets it itself. Takes its value from the rest."""
    known = _KNOWN[format]
    if name in known.switches:
        if value not in (None, "true"):
            raise ValueError(f"command: --{name}={value}: {REFUSED.get(name, 'write it without a value')}")
        return [f"--{name}"]
    if name not in known.values and name not in known.fixed:
        reason = REFUSED.get(name, "the gate does not know whether it leaves something out of the report")
        raise ValueError(f"command: {'--' * (len(name) > 0)}{name} is not allowed: {reason}")
    if value is None:
        if not rest:
            raise ValueError(f"command: --{name} has no value")
        value = rest.pop(0)
    if name in known.values:
        return [f"--{name}={value}"]
    if frozenset(part.strip() for part in value.split(",")) not in known.fixed[name]:
        raise ValueError(f"command: --{name} {value} is not allowed: {REFUSED.get(name, 'the gate sets it itself')}")
    return []
