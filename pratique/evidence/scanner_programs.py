"""How Trivy and Grype are asked so that their reports are complete: their arguments, and their environment.

The user's arguments are known to leave nothing out (:mod:`pratique.config.scanner_command`). What could leave something
out stands in other places: files in the working directory or the home directory, and variables. The scanners therefore
run in an empty folder, without a configuration file, and with only those of their variables that are known here.

Facts: Trivy 0.74 ``pkg/flag`` (a variable for each option), ``pkg/module``, ``pkg/db``; Grype 0.121
``cmd/grype/cli/options``, ``internal/format`` (several outputs), anchore/fangs (where configuration files are found).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path

from pratique.config.scanner_command import ScannerCommand
from pratique.evidence.parsers.assessment import Assessment, Unassessed
from pratique.evidence.parsers.grype import from_grype
from pratique.evidence.parsers.grype import knows_distribution as grype_knows
from pratique.evidence.parsers.trivy import from_trivy
from pratique.evidence.parsers.trivy import knows_distribution as trivy_knows
from pratique.oci.auth import Login

#: An empty configuration file, in the folder in which a scanner runs.
EMPTY = "empty.yaml"

_ON = ("1", "t", "true")
_TRIVY_COMPLETE = (
    *("--config=/dev/null", "--format=json", "--list-all-pkgs", "--show-suppressed", "--ignore-unfixed=false"),
    *("--severity=UNKNOWN,LOW,MEDIUM,HIGH,CRITICAL", "--cache-backend=memory"),
)

#: Go's standard library is matched by CPE: by default in 0.110, and in 0.115 to 0.121 only on request.
_GRYPE_COMPLETE = {"GRYPE_DB_AUTO_UPDATE": "false", "GRYPE_MATCH_GOLANG_ALWAYS_USE_CPE_FOR_STDLIB": "true"}


@dataclass(frozen=True)
class ScannerProgram:
    """One kind of scanner. Each function that makes arguments gets the user's command.

    :ivar prefix: of the variables that it reads
    :ivar kept: those of its variables that leave nothing out of a report; ``*`` stands for any ending
    :ivar scan: the arguments to scan an image, by reference, in the folder that it runs in
    :ivar check: the arguments to scan an SBOM in a file
    :ivar update: the arguments to update the database
    :ivar updated_elsewhere: whether the user keeps the database up to date by other means, or a server does, given
        the variables of this process
    :ivar version: the arguments to print the database's date, given the variables of this process; ``None`` where each
        report has it, because a server has the database, or because the scanner writes it
    :ivar login: the variables from which it reads a login for a registry. Arguments would be visible to others
    :ivar settings: variables that the gate sets, given the folder that it runs in
    :ivar parse: reads a report, given the database's date
    :ivar knows: whether the report of an SBOM shows that the database knows the distribution
    """

    prefix: str
    kept: frozenset[str]
    scan: Callable[[ScannerCommand, str, Path], tuple[str, ...]]
    check: Callable[[ScannerCommand, Path, Path], tuple[str, ...]]
    update: Callable[[ScannerCommand], tuple[str, ...]]
    updated_elsewhere: Callable[[ScannerCommand, Mapping[str, str]], bool]
    version: Callable[[ScannerCommand, Mapping[str, str]], tuple[str, ...] | None]
    login: Callable[[str, Login], dict[str, str]]
    settings: Callable[[Path], dict[str, str]]
    parse: Callable[[bytes, str, str, datetime | None], Assessment | Unassessed]
    knows: Callable[[bytes], bool]

    def environment(self, inherited: Mapping[str, str], folder: Path) -> dict[str, str]:
        """The variables of this process, without those that could leave something out of a report."""
        kept = {
            name: value
            for name, value in inherited.items()
            if not name.upper().startswith(self.prefix) or any(fnmatchcase(name, known) for known in self.kept)
        }
        return {**kept, "PWD": str(folder), **self.settings(folder)}


def _trivy_scan(command: ScannerCommand, image: str, folder: Path) -> tuple[str, ...]:
    gate = (*_TRIVY_COMPLETE, *_modules(folder), "--scanners=vuln", "--image-src=remote", "--skip-db-update")
    return (*command.program, "image", *command.flags, *gate, image)


def _trivy_check(command: ScannerCommand, sbom: Path, folder: Path) -> tuple[str, ...]:
    flags = command.only("quiet", "debug", "cache-dir", "server", "cacert", "insecure", "timeout", "offline-scan")
    return (*command.program, "sbom", *flags, *_TRIVY_COMPLETE, "--skip-db-update", str(sbom))


def _modules(folder: Path) -> tuple[str, ...]:
    """Trivy runs every module in this folder, and a module can take findings away."""
    return (f"--module-dir={folder / 'no-modules'}",)


def _trivy_update(command: ScannerCommand) -> tuple[str, ...]:
    return (*command.program, "image", *command.flags, "--config=/dev/null", "--download-db-only")


def _trivy_updated_elsewhere(command: ScannerCommand, inherited: Mapping[str, str]) -> bool:
    skipped = inherited.get("TRIVY_SKIP_DB_UPDATE", "").lower() in _ON
    return skipped or command.has("skip-db-update") or _trivy_has_server(command, inherited)


def _trivy_has_server(command: ScannerCommand, inherited: Mapping[str, str]) -> bool:
    return command.has("server") or bool(inherited.get("TRIVY_SERVER"))


def _trivy_version(command: ScannerCommand, inherited: Mapping[str, str]) -> tuple[str, ...] | None:
    """The local database says nothing about a server's."""
    if _trivy_has_server(command, inherited):
        return None
    return (*command.program, "version", "--config=/dev/null", "--format=json", *command.only("cache-dir"))


def _grype_scan(command: ScannerCommand, image: str, folder: Path) -> tuple[str, ...]:
    return (*command.program, *command.flags, "--output=json", "--output=cyclonedx-json", f"registry:{image}")


def _grype_check(command: ScannerCommand, sbom: Path, folder: Path) -> tuple[str, ...]:
    return (*command.program, *command.only("quiet", "verbose"), "--output=json", f"sbom:{sbom}")


PROGRAMS: Mapping[str, ScannerProgram] = {
    "trivy": ScannerProgram(
        prefix="TRIVY_",
        kept=frozenset(
            f"TRIVY_{name}"
            for name in (
                *("QUIET", "DEBUG", "NO_PROGRESS", "INSECURE", "NON_SSL", "SKIP_DB_UPDATE", "SKIP_JAVA_DB_UPDATE"),
                *("OFFLINE_SCAN", "SKIP_VERSION_CHECK", "DISABLE_TELEMETRY", "TIMEOUT", "CACHE_DIR", "DB_REPOSITORY"),
                *("JAVA_DB_REPOSITORY", "CACERT", "PARALLEL", "SERVER", "TOKEN", "TOKEN_HEADER"),
                *("USERNAME", "PASSWORD", "REGISTRY_TOKEN", "MAX_IMAGE_SIZE"),
            )
        ),
        scan=_trivy_scan,
        check=_trivy_check,
        update=_trivy_update,
        updated_elsewhere=_trivy_updated_elsewhere,
        version=_trivy_version,
        login=lambda _, login: {"TRIVY_USERNAME": login.username, "TRIVY_PASSWORD": login.password},
        settings=lambda _: {},
        parse=lambda report, digest, source, at: from_trivy(report, digest=digest, source=source, database_at=at),
        knows=trivy_knows,
    ),
    "grype": ScannerProgram(
        prefix="GRYPE_",
        kept=frozenset({"GRYPE_DB_*", "GRYPE_REGISTRY_*", "GRYPE_LOG_*", "GRYPE_CHECK_FOR_APP_UPDATE"}),
        scan=_grype_scan,
        check=_grype_check,
        update=lambda command: (*command.program, "db", "update"),
        updated_elsewhere=lambda _, inherited: inherited.get("GRYPE_DB_AUTO_UPDATE", "true").lower() not in _ON,
        version=lambda *_: None,
        login=lambda registry, login: {
            "GRYPE_REGISTRY_AUTH_AUTHORITY": registry,
            "GRYPE_REGISTRY_AUTH_USERNAME": login.username,
            "GRYPE_REGISTRY_AUTH_PASSWORD": login.password,
        },
        settings=lambda folder: {"GRYPE_CONFIG": str(folder / EMPTY), **_GRYPE_COMPLETE},
        parse=lambda report, digest, source, _: from_grype(report, digest=digest, source=source),
        knows=grype_knows,
    ),
}
