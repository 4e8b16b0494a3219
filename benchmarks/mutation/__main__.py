"""Changes the code that decides, a little and many times, and counts the changes that no test notices.

    make mutate ARGS="--sample 40 --room gate"

A mutant is the code with one change: ``<`` for ``<=``, ``and`` for ``or``, a number one higher. cosmic-ray makes them
in a copy of the tree, and runs the tests of the room against each. A mutant that all tests pass has survived: either it
behaves the same, or a test is missing. Prints the survivors with their change, writes them to
``artifacts/mutation-ROOM.json``, and exits with 0: a person looks at each.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]
COSMIC_RAY = PROJECT / ".venv-mutation" / "bin" / "cosmic-ray"
ARTIFACTS = PROJECT / "artifacts"
#: Seconds after which a mutant's tests count as failed: it never ends.
TIMEOUT = 900
#: Changes that say nothing: an annotation's ``A | B`` is not evaluated.
_UNINTERESTING = "BitOr"


@dataclass(frozen=True)
class Room:
    """A folder whose code is changed, and the tests that hold it.

    :ivar tests: without those that need a local Azure or Prefect: each mutant runs them all
    """

    folder: str
    tests: tuple[str, ...]


ROOMS = {
    "gate": Room(
        "pratique/gate",
        (
            "tests/pratique/gate",
            "--ignore=tests/pratique/gate/test_against_sandbox.py",
            "--ignore=tests/pratique/gate/test_bad_answers.py",
        ),
    ),
    "evidence": Room("pratique/evidence", ("tests/pratique/evidence",)),
    "release": Room("pratique/release", ("tests/pratique/release",)),
}


@dataclass(frozen=True)
class Mutant:
    """One change, and what the tests made of it.

    :ivar outcome: ``killed``, ``survived`` or ``incompetent`` (the code did not run at all)
    """

    module: str
    line: int
    operator: str
    outcome: str
    diff: str


def mutate(room: Room, sample: int, seed: int) -> list[Mutant]:
    """Run the room's tests against a random sample of its mutants.

    :param sample: number of mutants
    :param seed: of the sample, so that a run can be repeated
    """
    with tempfile.TemporaryDirectory(prefix="pratique-mutation-") as folder:
        copy = Path(folder) / "tree"
        _copy_tree(copy)
        config, session = copy / "mutation.toml", copy / "session.sqlite"
        config.write_text(_config(room), encoding="utf-8")
        _cosmic_ray("init", config.name, session.name, cwd=copy)
        _keep_sample(session, sample, seed)
        _cosmic_ray("exec", config.name, session.name, cwd=copy)
        return sorted(_results(session, copy), key=lambda mutant: (mutant.module, mutant.line))


def main() -> None:
    parser = argparse.ArgumentParser(prog="make mutate", description=__doc__)
    parser.add_argument("--room", choices=sorted(ROOMS), action="append", help="default: all")
    parser.add_argument("--sample", type=int, default=40, help="mutants of each room")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    ARTIFACTS.mkdir(exist_ok=True)
    for name in options.room or sorted(ROOMS):
        mutants = mutate(ROOMS[name], options.sample, options.seed)
        (ARTIFACTS / f"mutation-{name}.json").write_text(
            json.dumps([asdict(mutant) for mutant in mutants], indent=2), encoding="utf-8"
        )
        _show(name, mutants)


def _show(name: str, mutants: list[Mutant]) -> None:
    survived = [mutant for mutant in mutants if mutant.outcome == "survived"]
    print(f"{name}: {len(mutants)} mutants, {len(survived)} survived")
    for mutant in survived:
        changed = [line for line in mutant.diff.splitlines() if line.startswith(("-", "+")) and line[1:2] not in "-+"]
        print(f"\n{mutant.module}:{mutant.line} {mutant.operator}", *changed, sep="\n  ")


def _copy_tree(target: Path) -> None:
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],  # noqa: S607
        cwd=PROJECT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listing.stdout.split("\0")):
        if (PROJECT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, target / name)


def _config(room: Room) -> str:
    # The copy comes first on the path, before the installed project.
    command = " ".join([f"env PYTHONPATH=. {sys.executable} -m pytest -x -q -p no:cacheprovider", *room.tests])
    return (
        "[cosmic-ray]\n"
        f'module-path = "{room.folder}"\n'
        f"timeout = {TIMEOUT}.0\n"
        "excluded-modules = []\n"
        f"test-command = {json.dumps(command)}\n"
        '[cosmic-ray.distributor]\nname = "local"\n'
    )


def _cosmic_ray(*arguments: str, cwd: Path) -> None:
    subprocess.run([COSMIC_RAY, *arguments], cwd=cwd, check=True)


def _keep_sample(session: Path, sample: int, seed: int) -> None:
    with sqlite3.connect(session) as database:
        rows = database.execute(
            "select job_id, operator_name from mutation_specs"
            " order by module_path, start_pos_row, start_pos_col, operator_name, occurrence"
        )
        jobs = [job for job, operator in rows if _UNINTERESTING not in operator]
        kept = random.Random(seed).sample(jobs, min(sample, len(jobs)))  # noqa: S311 - a sample, not a secret
        database.execute("create temporary table kept (job_id)")
        database.executemany("insert into kept values (?)", [(job,) for job in kept])
        database.execute("delete from mutation_specs where job_id not in (select job_id from kept)")
        database.execute("delete from work_items where job_id not in (select job_id from kept)")


def _results(session: Path, cwd: Path) -> Iterator[Mutant]:
    dump = subprocess.run([COSMIC_RAY, "dump", session.name], cwd=cwd, check=True, capture_output=True, text=True)
    for line in dump.stdout.splitlines():
        item, result = json.loads(line)
        (mutation,) = item["mutations"]
        yield Mutant(
            module=mutation["module_path"],
            line=mutation["start_pos"][0],
            operator=mutation["operator_name"].removeprefix("core/"),
            outcome=result["test_outcome"],
            diff=result["diff"] or "",
        )


if __name__ == "__main__":
    main()
