"""Sources of secrets, and reading secrets from them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pratique.errors import ConfigurationError, NotFound
from pratique.secret import SecretKind, SecretSource, text_of


def test_text_forms() -> None:
    """The three text forms are accepted; any other text is rejected, and the message omits it."""
    assert SecretSource.parse("prefect-secret:tls") == SecretSource(SecretKind.PREFECT, "tls")
    assert str(SecretSource.parse("file:a:b.pem")) == "file:a:b.pem"
    for text in ("file :x", "tls.pem", "-----BEGIN PRIVATE KEY-----"):
        with pytest.raises(ConfigurationError) as caught:
            SecretSource.parse(text)
        assert text not in str(caught.value)


def test_files_and_variables_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret is read from a file or an environment variable."""
    (tmp_path / "token").write_bytes(b"s3cret")
    monkeypatch.setenv("SOME_TOKEN", "s3cret")
    assert SecretSource.parse(f"file:{tmp_path / 'token'}").read() == b"s3cret"
    assert SecretSource.parse("env:SOME_TOKEN").read() == b"s3cret"


def test_a_variable_may_hold_any_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Binary content of a variable is read unchanged."""
    monkeypatch.setitem(os.environb, b"SOME_PFX", b"0\x82\xff")
    assert SecretSource.parse("env:SOME_PFX").read() == b"0\x82\xff"


def test_text_of_a_secret() -> None:
    """The text has no final line break but keeps its spaces; bytes that are not text are not in the message."""
    assert text_of(b" pass word \r\n", "file:x") == " pass word "
    with pytest.raises(ConfigurationError) as caught:
        text_of(b"hunter2\xff", "file:x")
    assert "hunter2" not in str(caught.value)


def test_unreadable_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing file or variable raises NotFound; a folder and a Prefect secret raise ConfigurationError."""
    monkeypatch.delenv("NO_SUCH_TOKEN", raising=False)
    for source in (f"file:{tmp_path / 'absent'}", "env:NO_SUCH_TOKEN"):
        with pytest.raises(NotFound):
            SecretSource.parse(source).read()
    for source in (f"file:{tmp_path}", "prefect-secret:tls"):
        with pytest.raises(ConfigurationError):
            SecretSource.parse(source).read()
