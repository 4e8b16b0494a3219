"""Whether the configured certificate replaces the vault's."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pratique.certificate.bundle import CertificateBundle, read_certificate
from pratique.certificate.renewal import RenewalDecision, decide
from pratique.certificate.stored import StoredCertificate
from pratique.errors import CertificateRejected
from tests.pratique.certificate.issuing import NAME, NOW, SOURCE, issue


def valid(start: int, end: int) -> CertificateBundle:
    """A certificate by its first and last day, counted from today."""
    certificate = issue(start=NOW + timedelta(days=start), days=end - start)
    return read_certificate(certificate.pem, subject=NAME, source=SOURCE, at=NOW)


def stored(bundle: CertificateBundle, *, names: tuple[str, ...] = (NAME,), enabled: bool = True) -> StoredCertificate:
    return StoredCertificate(
        thumbprint=bundle.thumbprint,
        issued_on=bundle.not_before,
        expires_on=bundle.not_after,
        names=names,
        enabled=enabled,
        version="v1",
    )


def compare(given: CertificateBundle, held: StoredCertificate | None) -> RenewalDecision:
    return decide(given, held, renew_days=30, at=NOW)


def test_a_missing_certificate_is_imported() -> None:
    """It is imported if it is valid, and rejected if not."""
    assert compare(valid(-1, 90), None) == RenewalDecision(True, "The vault has no certificate.")
    with pytest.raises(CertificateRejected, match="expired"):
        compare(valid(-90, -1), None)


def test_the_same_certificate_is_not_imported() -> None:
    """Nothing happens until it is due. Then the run fails, because somebody has to have a new one issued."""
    held = valid(-300, 65)
    assert not compare(held, stored(held)).imports
    assert not compare(held, stored(held)).needs_attention
    due = valid(-335, 30)
    with pytest.raises(CertificateRejected, match="in 30 days, and the configured certificate is the same one"):
        compare(due, stored(due))
    expired = valid(-365, -1)
    with pytest.raises(CertificateRejected, match="has expired"):
        compare(expired, stored(expired))


def test_a_disabled_certificate_stays_disabled() -> None:
    """Somebody may have disabled it for a reason, so a person should look at it."""
    held = valid(-1, 365)
    assert compare(held, stored(held, enabled=False)).needs_attention
    assert not compare(held, stored(held, enabled=False)).imports


@pytest.mark.parametrize("held", [(-300, 65), (-355, 10), (-400, -35)], ids=["good", "due", "expired"])
def test_a_newer_certificate_is_imported(held: tuple[int, int]) -> None:
    """It does not matter whether the vault's certificate is due."""
    decision = compare(valid(-1, 365), stored(valid(*held)))
    assert decision.imports
    assert not decision.needs_attention


def test_the_certificate_that_was_issued_later_is_newer() -> None:
    """A certificate that was issued later replaces one that expires later, because lifetimes keep shrinking."""
    decision = compare(valid(-1, 100), stored(valid(-100, 265)))
    assert (decision.imports, decision.needs_attention) == (True, True)
    assert "although it expires earlier" in decision.reason


@pytest.mark.parametrize("old", [(-300, 65), (-400, -35), (-200, 500)], ids=["valid", "expired", "long"])
def test_an_old_file_does_not_undo_a_newer_import(old: tuple[int, int]) -> None:
    """If somebody has updated the vault and left the old file, nothing is imported, and a person should look at it."""
    decision = compare(valid(*old), stored(valid(-10, 200)))
    assert (decision.imports, decision.needs_attention) == (False, True)


def test_an_older_certificate_is_imported_if_it_expires_later() -> None:
    """It replaces one that is about to expire; one that expires earlier is rejected."""
    assert compare(valid(-100, 265), stored(valid(-80, 10))).imports
    with pytest.raises(CertificateRejected, match="in 10 days, and the configured one on"):
        compare(valid(-100, 5), stored(valid(-80, 10)))


def test_a_certificate_for_the_right_name_is_imported() -> None:
    """A certificate for the configured name replaces one for another name, whenever it was issued."""
    held = stored(valid(-10, 200), names=("old.contoso.com",))
    assert compare(valid(-300, 65), held).imports
    with pytest.raises(CertificateRejected, match="expired"):
        compare(valid(-300, -1), held)


def test_a_certificate_that_is_not_valid_yet_is_not_imported() -> None:
    """The vault's certificate stays; if that is due, the run fails because of the dates."""
    early = valid(5, 365)
    assert not compare(early, stored(valid(-300, 65))).imports
    with pytest.raises(CertificateRejected, match="not valid before"):
        compare(early, stored(valid(-355, 10)))
