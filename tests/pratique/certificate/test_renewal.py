"""Which of two certificates the vault is to hold."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pratique.certificate.bundle import CertificateBundle, read_certificate
from pratique.certificate.renewal import RenewalDecision, decide
from pratique.certificate.stored import StoredCertificate
from pratique.errors import CertificateRejected
from tests.pratique.certificate.issuing import NAME, NOW, issue


def lasting(start: int, end: int) -> CertificateBundle:
    """A certificate by its first and last day, counted from today."""
    certificate = issue(start=NOW + timedelta(days=start), days=end - start)
    return read_certificate(certificate.pem, subject=NAME)


def stored(bundle: CertificateBundle, *, names: tuple[str, ...] = (NAME,), enabled: bool = True) -> StoredCertificate:
    return StoredCertificate(
        thumbprint=bundle.thumbprint,
        issued_on=bundle.not_before,
        expires_on=bundle.not_after,
        names=names,
        enabled=enabled,
        version="v1",
    )


def decided(given: CertificateBundle, held: StoredCertificate | None) -> RenewalDecision:
    return decide(given, held, renew_days=30, now=NOW)


def test_a_missing_certificate_is_imported() -> None:
    """If its dates hold."""
    assert decided(lasting(-1, 90), None) == RenewalDecision(True, "The vault has none.")
    with pytest.raises(CertificateRejected, match="expired"):
        decided(lasting(-90, -1), None)


def test_the_same_certificate_is_left_alone() -> None:
    """Until it is due: then somebody has to have a new one issued, and the run fails to say so."""
    held = lasting(-300, 65)
    assert not decided(held, stored(held)).imports
    assert not decided(held, stored(held)).odd
    due = lasting(-335, 30)
    with pytest.raises(CertificateRejected, match="in 30 days, and the one at hand is that very certificate"):
        decided(due, stored(due))
    expired = lasting(-365, -1)
    with pytest.raises(CertificateRejected, match="has expired"):
        decided(expired, stored(expired))


def test_a_disabled_certificate_is_not_enabled_behind_somebodys_back() -> None:
    """Whoever disabled it may have had a reason; that is worth a look."""
    held = lasting(-1, 365)
    assert decided(held, stored(held, enabled=False)).odd
    assert not decided(held, stored(held, enabled=False)).imports


@pytest.mark.parametrize("held", [(-300, 65), (-355, 10), (-400, -35)], ids=["good", "due", "expired"])
def test_a_newer_certificate_is_imported(held: tuple[int, int]) -> None:
    """Whether the vault's is due or not."""
    decision = decided(lasting(-1, 365), stored(lasting(*held)))
    assert decision.imports
    assert not decision.odd


def test_newer_is_what_was_issued_later() -> None:
    """Lifetimes shrink: a certificate that was issued today replaces one that would have lasted longer."""
    decision = decided(lasting(-1, 100), stored(lasting(-100, 265)))
    assert (decision.imports, decision.odd) == (True, True)
    assert "although it ends earlier" in decision.reason


@pytest.mark.parametrize("old", [(-300, 65), (-400, -35), (-200, 500)], ids=["valid", "expired", "long"])
def test_an_old_file_does_not_undo_a_newer_import(old: tuple[int, int]) -> None:
    """Somebody has brought the vault up to date and left the file: nothing is done, and that is worth a look."""
    decision = decided(lasting(*old), stored(lasting(-10, 200)))
    assert (decision.imports, decision.odd) == (False, True)


def test_an_older_certificate_helps_when_it_lasts_longer() -> None:
    """Better than one that is about to expire; and what does not last longer does not help."""
    assert decided(lasting(-100, 265), stored(lasting(-80, 10))).imports
    with pytest.raises(CertificateRejected, match="in 10 days, and the one at hand by"):
        decided(lasting(-100, 5), stored(lasting(-80, 10)))


def test_another_name_outweighs_age() -> None:
    """A certificate for the configured name replaces one for another, whenever it was issued."""
    held = stored(lasting(-10, 200), names=("old.contoso.com",))
    assert decided(lasting(-300, 65), held).imports
    with pytest.raises(CertificateRejected, match="expired"):
        decided(lasting(-300, -1), held)


def test_a_certificate_whose_time_has_not_come_waits() -> None:
    """As long as the vault's does; when that is due, the dates are the failure."""
    early = lasting(5, 365)
    assert not decided(early, stored(lasting(-300, 65))).imports
    with pytest.raises(CertificateRejected, match="not valid before"):
        decided(early, stored(lasting(-355, 10)))
