"""``pratique probe`` changes nothing, tells no names, and answers every question once."""

from __future__ import annotations

import json
import re
from typing import Any

from pratique.config import Bootstrap
from pratique.preflight.probe.run import PROBES
from pratique.text import COLUMNS
from tests.pratique.preflight.probed import Prepare, leaked, scenario, text_of

#: What a probe may send besides GET and HEAD: sign-in at Entra ID and at the registry, and queries.
SENT = re.compile(
    r".*/oauth2/v2\.0/token|/oauth2/(?:token|exchange)|/providers/Microsoft\.ResourceGraph/resources|/v1/.+/query"
)


def settings(config: Bootstrap) -> set[str]:
    """The dotted names of everything that can be configured."""

    def below(value: Any, path: str) -> set[str]:
        inner = value.items() if isinstance(value, dict) else ()
        return {path} | {name for key, child in inner for name in below(child, f"{path}.{key}" if path else key)}

    return below(config.model_dump(mode="json"), "")


async def test_a_probe_changes_nothing_and_tells_no_names(prepare: Prepare) -> None:
    """It sends GETs, sign-ins and queries only; report and file hold no id, name, host, repository or digest."""
    world = await prepare(scenario())
    before, last = world.sandbox.control("GET", "/state"), world.last_request()
    report = await world.report()
    sent = [f"{one['method']} {one['path']}" for one in world.requests(last)]
    assert len(sent) > len(PROBES)
    assert [line for line in sent if not line.startswith(("GET ", "HEAD ")) and not SENT.fullmatch(line[5:])] == []
    assert len(sent) < 400
    assert world.sandbox.control("GET", "/state") | {"now": before["now"]} == before
    assert leaked(text_of(report), world.sandbox) == []
    assert all(len(line) <= COLUMNS for line in report.text().splitlines())


async def test_every_question_has_an_answer(prepare: Prepare) -> None:
    """Each question is answered once, with what fits; settings that an answer names exist."""
    world = await prepare(scenario())
    report = await world.report()
    asked = [question.id for probe in PROBES for question in probe.questions]
    assert [answer.question.id for answer in report.answers] == asked
    assert len(set(asked)) == len(asked)
    assert json.loads(json.dumps(report.document()))["answers"][0]["id"] == asked[0]
    for answer in report.answers:
        assert answer.observed
        assert answer.needs if answer.state == "not read" else answer.fits
        named = re.findall(r"\b(?:gate|drill|scanning)\.[\w.]*\w", answer.fits)
        assert set(named) <= settings(world.config), named


def test_topics_are_in_one_piece() -> None:
    """Questions of one topic follow one another, so that each heading is shown once."""
    topics = [question.topic for probe in PROBES for question in probe.questions]
    changes = [topic for topic, before in zip(topics, ["", *topics], strict=False) if topic != before]
    assert changes == list(dict.fromkeys(topics))
