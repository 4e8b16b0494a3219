"""What a person is asked, which answers count, and that nobody's words break the form."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pratique.errors import UnreadableAnswer
from pratique.findings import Severity
from pratique.gate.approval import Approval, Item
from pratique.gate.approval_request import Question
from pratique.gate.policy import Policy
from pratique.gate.rules import Rules
from pratique.gate.verdict import ImageVerdict, PlatformVerdict, VerdictState
from pratique.gate.wait import GateReport
from tests.pratique.gate.kit import AMD64, ARM64, LOW, NGINX, NOW, flaw, rows

TODAY = date(2026, 11, 23)
ITEM = Item(
    image="nginx:1.27",
    platform="linux/amd64",
    digest="sha256:aa",
    reason="no proof of a scan",
    statuses=("recommendations: nothing",),
    findings=("Low CVE-1",),
)
OTHER = Item(image="redis:7", platform="linux/amd64", digest="sha256:bb", reason="Defender was told not to assess it")
QUESTION = Question("web", (ITEM, OTHER), 30)
UNTIL = "2026-11-24 09:00 UTC"


def answered(choice: str = "approve", **fields: str) -> Approval:
    filled = {"reason": "Clean in the portal.", "name": "Ada", "expires": "2026-12-01"} | fields
    return QUESTION.read_answer(choice, today=TODAY, **filled)


def test_an_approval_has_name_reason_and_expiry() -> None:
    """It is recorded as JSON, and logs mark the name as self-asserted."""
    answer = answered()
    assert answer == Approval(approved=True, reason="Clean in the portal.", name="Ada", expires=date(2026, 12, 1))
    assert answer.description == "approved until 2026-12-01 by Ada (self-asserted): Clean in the portal."
    assert json.loads(json.dumps(answer.record()))["expires"] == "2026-12-01"


def test_a_rejection_needs_no_expiry() -> None:
    """A rejection ignores the form's date."""
    for expires in ("", "banana", "2001-01-01"):
        assert not answered("reject", expires=expires).approved


@pytest.mark.parametrize("choice", ["", "Approve", "approve ", "yes", "rejected"])
def test_only_the_two_choices_are_valid(choice: str) -> None:
    """Other words are not taken for an approval."""
    with pytest.raises(UnreadableAnswer):
        answered(choice)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"expires": "2026-11-22"}, "has passed"),
        ({"expires": "2026-12-24"}, "more than the 30 days"),
        ({"expires": "9999-12-31"}, "more than the 30 days"),
        ({"expires": "banana"}, "not a date"),
        ({"expires": "2026-02-30"}, "not a date"),
        ({"expires": ""}, "not a date"),
        ({"reason": "looks ok"}, "reason has 8 characters"),
        ({"reason": " " * 40}, "reason has 0 characters"),
        ({"reason": "x" * 1001}, "reason has 1001 characters"),
        ({"name": "A"}, "name has 1 characters"),
        ({"name": "\n\t  "}, "name has 0 characters"),
    ],
)
def test_the_error_for_an_invalid_answer_says_why(fields: dict[str, str], problem: str) -> None:
    """Every wrong field is named, so that the next answer can be right."""
    with pytest.raises(UnreadableAnswer, match=problem):
        answered(**fields)


@pytest.mark.parametrize("expires", [TODAY, TODAY + timedelta(days=30)])
def test_the_policys_first_and_last_day_are_valid(expires: date) -> None:
    """An approval may expire today, and on the last day that the policy allows."""
    assert answered(expires=expires.isoformat()).expires == expires


def test_the_policy_allows_the_proposed_expiry() -> None:
    """Also where the policy is stricter than the default, or has no limit."""
    for days in (1, 30, 10**12):
        question = replace(QUESTION, policy_days=days)
        proposed = question.default_expiry(TODAY).isoformat()
        assert question.read_answer("approve", "Clean in the portal.", "Ada", proposed, TODAY).approved


@given(fields=st.fixed_dictionaries({"reason": st.text(), "name": st.text(), "expires": st.text()}), choice=st.text())
def test_any_answer_is_an_approval_or_an_error(fields: dict[str, str], choice: str) -> None:
    """Whatever the form contains, the result is an approval, a rejection or a PratiqueError."""
    try:
        answer = answered(choice, **fields)
    except UnreadableAnswer:
        return
    assert choice in ("approve", "reject")
    assert (answer.reason + answer.name).isprintable()


def test_only_images_that_need_a_person_are_in_the_question() -> None:
    """A platform that passes is not in the question; the other one is, with its sources' statuses."""
    high = flaw(Severity.HIGH, "CVE-2026-3")
    asking = PlatformVerdict(
        platform="linux/arm64",
        digest=ARM64,
        state=VerdictState.ASKING,
        reason="no proof",
        counted=(LOW, high),
        observations=(rows(LOW),),
    )
    verdict = ImageVerdict(
        NGINX,
        (PlatformVerdict(platform="linux/amd64", digest=AMD64, state=VerdictState.HEALTHY, reason="clean"), asking),
    )
    rules = Rules(
        policy=Policy(exception_days=7),
        platforms=("linux/amd64", "linux/arm64"),
        sources=frozenset({"recommendations"}),
    )
    question = Question.about(GateReport(release="web", verdicts=(verdict,), rules=rules, at=NOW))
    (item,) = question.items
    assert (question.release, question.policy_days) == ("web", 7)
    assert (item.digest, item.statuses) == (ARM64, ("recommendations: assessed",))
    assert "findings so far: 1 High, 1 Low," in question.markdown(UNTIL)


@pytest.mark.parametrize(
    "changed",
    [
        replace(QUESTION, release="api"),
        replace(QUESTION, items=(ITEM,)),
        replace(QUESTION, items=(replace(ITEM, digest="sha256:cc"), OTHER)),
        replace(QUESTION, items=(replace(ITEM, statuses=("recommendations: failed",)), OTHER)),
        replace(QUESTION, items=(replace(ITEM, findings=("Low CVE-1", "Low CVE-2")), OTHER)),
    ],
)
def test_a_changed_question_is_asked_again(changed: Question) -> None:
    """An approval is valid for the digests and the evidence that were shown."""
    assert changed.key != QUESTION.key


def test_the_same_question_is_asked_once() -> None:
    """The order of images and the wording of reasons, which may contain times, do not matter."""
    reworded = replace(QUESTION, items=(OTHER, replace(ITEM, reason="no proof of a scan at 10:41")))
    assert reworded.key == QUESTION.key


def test_the_form_shows_the_question() -> None:
    """Every image with digest and reason, what to look up in the portal, and what happens without an answer."""
    text = QUESTION.markdown(UNTIL)
    assert "- **nginx:1.27** linux/amd64, findings so far: 1 Low, `sha256:aa`" in text
    for words in (
        "no proof of a scan",
        "recommendations: nothing",
        "sha256:bb",
        "told not to assess",
        "as assessed and healthy",
        "self-asserted",
        UNTIL,
        "30 days",
    ):
        assert words in text


def test_the_form_shows_a_shared_reason_once() -> None:
    """A hundred images with the same reason show it once."""
    same = replace(QUESTION, items=(ITEM, replace(ITEM, image="redis:7")))
    assert same.markdown(UNTIL).count("no proof of a scan") == 1


def test_paragraphs_of_the_form_are_single_lines() -> None:
    """Prefect shows a line break inside a paragraph as a gap."""
    for paragraph in QUESTION.markdown(UNTIL).split("\n\n"):
        assert all(line.startswith("- ") for line in paragraph.strip().splitlines()[1:])


def test_the_form_shows_what_was_wrong() -> None:
    """The next form starts with the error of the last answer."""
    assert QUESTION.markdown(UNTIL, "The expiry has passed.").startswith(
        "**The last answer was not accepted.** The expiry"
    )


@given(words=st.text())
def test_reported_text_does_not_break_the_list(words: str) -> None:
    """A scanner's message stays in its line, without headings or formatting."""
    hostile = replace(ITEM, image=words, reason=words)
    text, usual = (replace(QUESTION, items=(item, OTHER)).markdown(UNTIL) for item in (hostile, ITEM))
    assert len(text.splitlines()) == len(usual.splitlines())
    (line,) = [line for line in text.splitlines() if "sha256:aa" in line]
    assert re.sub(r"\\.", "", line).count("**") == 2


def test_the_forms_list_is_limited() -> None:
    """Further images are counted, and the form names the table artifact that lists them."""
    many = Question("web", tuple(replace(ITEM, digest=f"sha256:{n}") for n in range(1000)), 30)
    assert "and 800 more, in the table artifact `gate-web`" in many.markdown(UNTIL)
