"""Keeps records on their own branch of the GitOps repository.

The branch shares no history with the manifests, so the cluster never sees it. It is durable, shows who wrote what, and
needs no access to the registry. The first record creates it::

    branch = RecordsBranch(Repository(remote=remote, branch="pratique-records", orphan=True), author)
    promotions = await branch.promotions()
    await branch.record(records, run="…")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pratique.change import Change
from pratique.errors import UnreadableAnswer
from pratique.git.checkout import CommitAuthor, Repository, checkout
from pratique.git.pending import RUN
from pratique.git.publish import Publication, publish
from pratique.records import cases as case_file
from pratique.records import clusters as cluster_file
from pratique.records import promotions as promotion_file
from pratique.records.cases import Cases
from pratique.records.clusters import Clusters
from pratique.records.promotions import PromotionRecord, Promotions
from pratique.text import first_few


@dataclass(frozen=True)
class RecordsBranch:
    """The branch, and who writes to it.

    :ivar repository: the repository and the branch; a branch that does not exist counts as empty
    :ivar trailers: of each commit, besides the run's
    """

    repository: Repository
    author: CommitAuthor
    trailers: Mapping[str, str] = field(default_factory=dict)

    async def texts(self, *files: str) -> dict[str, str]:
        """The texts of files, by path. Files that do not exist are left out: before the first record, all of them.

        :raises PratiqueError: as :func:`.checkout.checkout`
        """
        async with checkout(self.repository) as tree:
            return {file: text for file in files if (text := _text(tree.root, file)) is not None}

    async def promotions(self) -> Promotions:
        """All promotions on record.

        :raises UnreadableAnswer: when the file has another version, or is malformed
        :raises PratiqueError: as :func:`.checkout.checkout`
        """
        found = await self.texts(promotion_file.FILE)
        return Promotions.parse(found.get(promotion_file.FILE))

    async def cases(self) -> Cases:
        """All cases on record; raises as :meth:`promotions`."""
        return Cases.parse((await self.texts(case_file.FILE)).get(case_file.FILE))

    async def clusters(self) -> Clusters:
        """All registered clusters; raises as :meth:`promotions`."""
        return Clusters.parse((await self.texts(cluster_file.FILE)).get(cluster_file.FILE))

    async def record(
        self, records: Sequence[PromotionRecord], *, run: str, subject: str = "Record promoted images"
    ) -> Publication:
        """Record promotions. Those that are on record already make no commit.

        :param run: id of the flow run
        :param subject: how the commit's subject begins
        :raises PratiqueError: as :func:`pratique.git.publish.publish`
        """
        message = f"{subject}: {_images(records)}."
        return await self.write(
            {promotion_file.FILE: lambda before: Promotions.parse(before).with_records(records).text()},
            message,
            run=run,
        )

    async def write(
        self, files: Mapping[str, Callable[[str | None], str | None]], message: str, *, run: str
    ) -> Publication:
        """Rewrite files in one commit. When another commit is pushed first, the files are rewritten on top of it.

        Nothing else keeps writers apart: runs of several Prefect servers may write at once. So a rewrite decides on the
        text that it gets, and on nothing that was read earlier.

        :param files: by path, in the order in which they are rewritten, a function from the file's text to its new
            text; ``None`` means that there is no file
        :param message: subject of the commit
        :param run: id of the flow run, for the commit's trailer
        """

        def edit(root: Path) -> Sequence[Change]:
            changes = []
            for file, rewrite in files.items():
                before = _text(root, file)
                after = rewrite(before)
                if after is not None and after != before:
                    (root / file).write_bytes(after.encode())
                    changes.append(Change(file, "text", None, "rewritten"))
            return changes

        trailers = ({RUN: run} if run else {}) | dict(self.trailers)
        return await publish(self.repository, [(message, edit)], author=self.author, trailers=trailers)


def _images(records: Sequence[PromotionRecord]) -> str:
    return first_few(sorted({record.reference.short for record in records}), most=3)


def _text(root: Path, file: str) -> str | None:
    path = root / file
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableAnswer("read the records", file, f"{error}.", "Restore it from the branch's history.") from None
