"""Small vulnerability databases for the real Trivy and Grype, written as their own makers write them.

Facts: trivy-db ``pkg/db`` (bbolt; buckets by distribution, then package), Trivy ``integration/testdata/fixtures/db``;
Grype ``grype/db/v6/models.go`` and ``blobs.go`` (SQLite, schema 6.1.9).
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.oracles.tools import tool


@dataclass(frozen=True)
class Advisory:
    """A vulnerability of one package of one distribution.

    :ivar distribution: name and version as os-release writes them, for example ``alpine 3.22``
    :ivar fixed: the first version without it
    """

    vulnerability: str
    distribution: str
    package: str
    fixed: str
    severity: str = "critical"

    @property
    def system(self) -> tuple[str, list[str]]:
        """The distribution's name, and the parts of its version."""
        name, _, version = self.distribution.partition(" ")
        return name, version.split(".")


def trivy_database(cache: Path, advisories: Sequence[Advisory], updated: datetime) -> None:
    """Write Trivy's database into its cache.

    :param updated: when its maker last updated it
    """
    folder = cache / "db"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    buckets: dict[str, Any] = {"vulnerability": {"pairs": {}}, "data-source": {"pairs": {}}}
    for one in advisories:
        packages = buckets.setdefault(one.distribution, {"buckets": {}})["buckets"]
        packages.setdefault(one.package, {"pairs": {}})["pairs"][one.vulnerability] = {"FixedVersion": one.fixed}
        levels = ("low", "medium", "high", "critical")
        detail = {"Title": one.vulnerability, "VendorSeverity": {"nvd": levels.index(one.severity) + 1}}
        buckets["vulnerability"]["pairs"][one.vulnerability] = detail
    tree = json.dumps({"buckets": buckets})
    subprocess.run([tool("bolt"), str(folder / "trivy.db")], input=tree, text=True, check=True)
    metadata = {
        "Version": 2,
        "UpdatedAt": _go(updated),
        "NextUpdate": _go(updated + timedelta(days=1)),
        "DownloadedAt": _go(updated),
    }
    (folder / "metadata.json").write_text(json.dumps(metadata))


def grype_database(cache: Path, advisories: Sequence[Advisory], built: datetime, *, ended: Sequence[str] = ()) -> None:
    """Let Grype import a database into its cache.

    :param ended: distributions that are past their end of life
    """
    shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir(parents=True)
    source = cache.with_suffix(".db")
    source.unlink(missing_ok=True)
    _import(cache, source, built)  # which adds the tables
    shutil.copy(cache / "6" / "vulnerability.db", source)
    with sqlite3.connect(source) as database:
        _fill(database, advisories, built, ended)
    database.close()
    _import(cache, source, None)


def _import(cache: Path, source: Path, built: datetime | None) -> None:
    if built is not None:
        with sqlite3.connect(source) as database:
            database.execute(
                "create table db_metadata (build_timestamp datetime, model int, revision int, addition int)"
            )
            database.execute("insert into db_metadata values (?, 6, 1, 9)", (_sql(built),))
        database.close()
    environment = {**os.environ, "GRYPE_DB_CACHE_DIR": str(cache), "GRYPE_DB_VALIDATE_AGE": "false"}
    subprocess.run([tool("grype"), "db", "import", str(source)], env=environment, check=True, capture_output=True)


def _fill(database: sqlite3.Connection, advisories: Sequence[Advisory], built: datetime, ended: Sequence[str]) -> None:
    systems: dict[str, int] = {}
    providers = {one.system[0] for one in advisories}
    for provider in providers:
        database.execute("insert into providers values (?, '1', 'vunnel', ?, '')", (provider, _sql(built)))
    for distribution in sorted({one.distribution for one in advisories} | {*ended}):
        name, _, version = distribution.partition(" ")
        major, _, minor = version.partition(".")
        over = _sql(built - timedelta(days=400)) if distribution in ended else None
        cursor = database.execute(
            "insert into operating_systems (name, release_id, major_version, minor_version, label_version, codename, "
            "channel, eol_date) values (?, ?, ?, ?, '', '', '', ?)",
            (name, name, major, minor, over),
        )
        systems[distribution] = cursor.lastrowid or 0
    for one in advisories:
        _add(database, one, systems[one.distribution])


def _add(database: sqlite3.Connection, one: Advisory, system: int) -> None:
    name = one.system[0]
    kind = "apk" if name == "alpine" else "deb"
    vulnerability = {
        "id": one.vulnerability,
        "severities": [{"scheme": "CHMLN", "value": one.severity, "rank": 1}],
    }
    fix = {"version": one.fixed, "state": "fixed"}
    affected = {
        "ranges": [{"version": {"type": kind if kind == "apk" else "dpkg", "constraint": f"< {one.fixed}"}, "fix": fix}]
    }
    about = _blob(database, vulnerability)
    handle = database.execute(
        "insert into vulnerability_handles (name, status, provider_id, blob_id) values (?, 'active', ?, ?)",
        (one.vulnerability, name, about),
    ).lastrowid
    database.execute("insert or ignore into packages (ecosystem, name) values (?, ?)", (kind, one.package))
    named = "select id from packages where ecosystem = ? and name = ?"
    (package,) = database.execute(named, (kind, one.package)).fetchone()
    database.execute(
        "insert into affected_package_handles (vulnerability_id, operating_system_id, package_id, blob_id) "
        "values (?, ?, ?, ?)",
        (handle, system, package, _blob(database, affected)),
    )


def _blob(database: sqlite3.Connection, value: dict[str, Any]) -> int:
    return database.execute("insert into blobs (value) values (?)", (json.dumps(value),)).lastrowid or 0


def _go(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


def _sql(time: datetime) -> str:
    return time.isoformat(sep=" ")
