"""What runs leave in Prefect, in logs and in commits holds no secret, in no form."""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from prefect.blocks.system import Secret
from prefect.logging.handlers import APILogHandler
from prefect.settings import PREFECT_SERVER_DATABASE_CONNECTION_URL

from flows.renew_certificate import renew_certificate
from pratique.errors import CertificateRejected
from sandbox.core.tokens import TokenSigner
from tests.flows.conftest import MakeWorld
from tests.flows.world import KURED, git
from tests.pratique.certificate.issuing import Issued, issue

PASSWORD = "open-sesame-7Qx"
# Header and claims of a JSON web token, as base64url of '{"'.
_TOKEN = re.compile(rb"eyJ[\w-]{10,}\.eyJ[\w-]{10,}")


@pytest.fixture
def tokens(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every token that the local Azure gives out from now on."""
    given: list[str] = []
    really = TokenSigner.issue

    def noted(signer: TokenSigner, audience: str, claims: dict[str, Any], lifetime: float = 3599) -> str:
        given.append(really(signer, audience, claims, lifetime))
        return given[-1]

    monkeypatch.setattr(TokenSigner, "issue", noted)
    return given


async def test_nothing_leaks(
    prefect: Path,
    tokens: list[str],
    world: MakeWorld,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Runs that end well, or fail over their certificate, as a PEM or as a PFX, write no key, password or token."""
    caplog.set_level(logging.DEBUG)
    cluster = world()
    first, second, strange = _issued(2), _issued(1), issue("somebody-else.contoso.com")
    pfx, unopened = second.pfx(password=PASSWORD), second.pfx(password=PASSWORD + "!")
    await Secret(value=PASSWORD).save("ingress-password", overwrite=True)

    cluster.pem.write_bytes(first.pem)
    told = await cluster.prepare()
    cluster.pem.write_bytes(strange.pem)
    assert isinstance(await cluster.fail(), CertificateRejected)
    elsewhere = cluster.with_certificate(pem="env:INGRESS_PFX", password="prefect-secret:ingress-password")
    monkeypatch.setenv("INGRESS_PFX", base64.b64encode(pfx).decode())
    assert (await renew_certificate(elsewhere.config)).thumbprint == second.thumbprint
    monkeypatch.setenv("INGRESS_PFX", base64.b64encode(unopened).decode())
    with pytest.raises(CertificateRejected):
        await renew_certificate(elsewhere.config)
    await APILogHandler.aflush()

    secrets = {"client secret": os.environ["AZURE_CLIENT_SECRET"].encode(), "password": PASSWORD.encode()}
    for name, issued in (("first", first), ("second", second), ("strange", strange)):
        secrets |= {f"{name} key, {form}": value for form, value in _key(issued)}
    for name, file in (("PFX", pfx), ("unopened PFX", unopened)):
        secrets |= {f"{name} at {at}": file[at : at + 48] for at in range(0, len(file) - 48, 480)}
    secrets |= {f"signature of token {number}": token[-60:].encode() for number, token in enumerate(tokens)}
    assert len(tokens) > 3

    traces = stored(prefect)
    traces["logs"] = caplog.text.encode()
    traces["commits"] = git("log", "-p", "--all", folder=cluster.gitops).encode()
    # What is no secret is found, so a secret would be.
    for known in (told.vault, told.thumbprint, second.thumbprint, KURED):
        assert any(known.encode() in trace for trace in traces.values())
    for table in ("log", "artifact", "flow_run", "task_run", "task_run_state", "block_document"):
        assert traces[f"table {table}"]
    found = [
        (place, name)
        for name, secret in secrets.items()
        for form in _forms(secret)
        for place, trace in traces.items()
        if form in trace
    ]
    assert found == []
    assert [place for place, trace in traces.items() if _TOKEN.search(trace)] == []


def test_a_secret_would_be_found() -> None:
    """Within other bytes, as text of Python's or JSON's, and in base64 wherever it begins."""
    secret = bytes(range(7, 250, 7)) + b'"key"'
    for before in (b"", b"a", b"bc"):
        hiding = before + secret + b"after"
        for trace in (hiding, base64.b64encode(hiding), base64.urlsafe_b64encode(hiding), repr(hiding).encode()):
            assert any(form in trace for form in _forms(secret))
        assert any(form in hiding.hex().encode() for form in _forms(secret))


def _issued(age: int) -> Issued:
    return issue(start=datetime.now(UTC) - timedelta(days=age))


def _key(issued: Issued) -> Iterator[tuple[str, bytes]]:
    """What nobody but the owner of the key knows: its private number, in which every form of the key agrees."""
    assert isinstance(issued.key, ec.EllipticCurvePrivateKey)
    number = issued.key.private_numbers().private_value
    yield "number", number.to_bytes(32, "big")
    yield "decimal", str(number).encode()
    yield "DER", issued.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    lines = issued.pem_key().splitlines()
    yield from ((f"line {at} of PEM", line) for at, line in enumerate(lines) if len(line) > 20 and b"-----" not in line)


def _forms(secret: bytes) -> Iterator[bytes]:
    """The secret as it may stand in a trace."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    yield repr(secret)[2:-1].encode()
    yield json.dumps(secret.decode("latin-1"))[1:-1].encode()
    for shift in range(3):
        # Only what does not depend on the bytes around it: base64 packs three bytes into four characters.
        encoded = base64.b64encode(b"\0" * shift + secret)
        inner = encoded[4 if shift else 0 : len(encoded) // 4 * 4 - 4]
        yield inner
        yield inner.translate(bytes.maketrans(b"+/", b"-_"))


def stored(home: Path) -> dict[str, bytes]:
    """Prefect's database, as files and by its tables, and its results, which are pickles in base64 or in JSON."""
    database = Path(str(PREFECT_SERVER_DATABASE_CONNECTION_URL.value()).split("///")[1])
    traces = {path.name: path.read_bytes() for path in database.parent.iterdir() if path.is_file()}
    # In the file a long value may be spread over several pages.
    with sqlite3.connect(database) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            rows = connection.execute(f'SELECT * FROM "{table}"')  # noqa: S608  # the database's own names
            values = (value for row in rows for value in row if value is not None)
            traces[f"table {table}"] = b"\n".join(v if isinstance(v, bytes) else str(v).encode() for v in values)
    for path in (home / "storage").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            pickled = json.loads(content)["result"] if content.startswith(b"{") else content
            traces[path.name] = content + base64.b64decode(pickled)
    return traces
