"""Where records live: on a branch of their own in the GitOps repository.

It shares no history with the manifests, so the cluster never sees it; it is durable, says who wrote what, and needs no
way into the registry. It comes into being with the first record::

    branch = RecordsBranch(Repository(remote=remote, branch="pratique-records", orphan=True), author)
    promotions = await branch.promotions()
    await branch.record(records, run="…")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pratique.change import Change
from pratique.errors import UnreadableAnswer
from pratique.git.checkout import CommitAuthor, Repository, checkout
from pratique.git.pending import RUN
from pratique.git.publish import Publication, publish
from pratique.records import cases as of_findings
from pratique.records import promotions as of_promotions
from pratique.records.cases import Cases
from pratique.records.promotions import PromotionRecord, Promotions


@dataclass(frozen=True)
class RecordsBranch:
    """The branch, and who writes to it.

    :ivar at: the branch; one that is missing begins empty
    """

    at: Repository
    author: CommitAuthor

    async def texts(self, *files: str) -> dict[str, str]:
        """What files hold now; those that are not there are left out. Nothing is there before the first record.

        :raises PratiqueError: as :func:`.checkout.checkout`
        """
        async with checkout(self.at) as tree:
            return {file: text for file in files if (text := _text(tree.root, file)) is not None}

    async def promotions(self) -> Promotions:
        """All promotions that are on record.

        :raises UnreadableAnswer: when they are of a version that is not known, or malformed
        :raises PratiqueError: as :func:`.checkout.checkout`
        """
        found = await self.texts(of_promotions.FILE)
        return _promotions(found.get(of_promotions.FILE))

    async def cases(self) -> Cases:
        """All cases that rescans have on file; else as :meth:`promotions`."""
        return Cases.parse((await self.texts(of_findings.FILE)).get(of_findings.FILE))

    async def record(self, records: Sequence[PromotionRecord], *, run: str) -> Publication:
        """Put promotions on record; what is there already makes no commit.

        :param run: id of the flow run
        :raises PratiqueError: as :func:`pratique.git.publish.publish`
        """
        text = f"Record what was promoted: {_images(records)}."
        return await self.write(
            {of_promotions.FILE: lambda before: _promotions(before).including(records).text()}, text, run=run
        )

    async def write(
        self, files: Mapping[str, Callable[[str | None], str | None]], message: str, *, run: str
    ) -> Publication:
        """Rewrite files, in one commit; done again on what others have pushed meanwhile.

        :param files: by path, what makes the new text of the present one; no file is ``None``, and stays so
        :param message: subject of the commit
        :param run: id of the flow run, which the commit names
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

        return await publish(self.at, [(message, edit)], author=self.author, trailers={RUN: run} if run else None)


def _promotions(text: str | None) -> Promotions:
    return Promotions() if text is None else Promotions.parse(text)


def _images(records: Sequence[PromotionRecord], most: int = 3) -> str:
    names = sorted({one.reference.short for one in records})
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def _text(root: Path, file: str) -> str | None:
    path = root / file
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableAnswer("read the records", file, f"{error}.", "Restore it from its history.") from None
