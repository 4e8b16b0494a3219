"""The error tree as a whole."""

from __future__ import annotations

import pickle
import re

import pytest

from pratique import errors
from pratique.errors import PratiqueError


def subclasses(kind: type[PratiqueError]) -> list[type[PratiqueError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in subclasses(child))]


@pytest.mark.parametrize("kind", subclasses(PratiqueError))
def test_every_error_has_four_parts_and_can_be_pickled(kind: type[PratiqueError]) -> None:
    """Prefect pickles errors: each keeps its four parts, and its message contains all of them."""
    error = pickle.loads(pickle.dumps(kind("import the image", "busybox", "It said no.", "Ask again.")))  # noqa: S301
    assert type(error) is kind
    assert (error.attempted, error.subject, error.observed, error.remedy) == error.args
    for part in error.args:
        assert part in str(error)


def test_the_docstring_draws_the_whole_tree() -> None:
    """The tree in the module's docstring contains every error."""
    drawn = set(re.findall(r"[├└]── (\w+)", errors.__doc__ or ""))
    assert drawn == {kind.__name__ for kind in subclasses(PratiqueError)} - {"PratiqueError"}
