"""No value of the configuration holds a secret: refused in a message without it, also by Prefect's form."""

from __future__ import annotations

import copy
import json
import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prefect.exceptions import ParameterTypeError
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import ValidationError as RefusedByServer
from prefect.utilities.schema_tools.validation import validate
from pydantic import ValidationError

from flows.prepare_cluster import prepare_cluster
from pratique.config import Bootstrap, parse
from pratique.config.embedded_secrets import ADDRESS_PATTERN, TEXT_PATTERN, embedded_secret
from pratique.errors import ConfigurationError
from pratique.yaml_document import load_yaml

EXAMPLE: dict[str, Any] = json.loads(
    json.dumps(load_yaml((Path(__file__).parents[2] / "examples/bootstrap.yaml").read_bytes()), default=str)
)
SCHEMA = parameter_schema(prepare_cluster).model_dump_for_openapi()
SECRET = "Zq8kV3mW5tXy7RbN"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0." + SECRET
PEM = f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----"
HOSTS = "git.contoso.com", "git.contoso.com:8443", "10.0.0.1", "[::1]:22", "localhost"
SCHEMES = "https", "http", "git", "ssh", "git+ssh", "ssh+git", "git+https", "ftps", "file", "oci", "HTTPS", "SSH"
#: Parts of passwords that look like other parts of a URL.
SECRETS = st.text(string.ascii_letters + string.digits + "-._~!$&'()*+,;=/?#:", max_size=20).map(
    lambda text: f"{SECRET}{text}"
)

#: Where addresses are in the configuration: the path of each, and what surrounds the address there.
ADDRESSES: dict[str, tuple[tuple[Any, ...], str]] = {
    "manifests.remote": (("manifests", "remote"), "{}"),
    "access.address_services": (("access", "address_services"), "[]"),
    "cluster.template": (("cluster", "template"), "{}"),
    "drill.source": (("drill", "source"), "{}"),
    "images.source": (("catalogue", "releases", 0, "images", 0, "source"), "{}"),
    "credentials.registry": (("catalogue", "credentials", 0, "registry"), "{}"),
    "scanners.command": (("gate", "scanners", 0, "command", 1), "{}"),
}


def configuration() -> dict[str, Any]:
    """The example, with everything that may hold an address."""
    config = copy.deepcopy(EXAMPLE)
    config.setdefault("access", {})
    config.setdefault("drill", {})
    config["catalogue"]["credentials"] = [{"registry": "docker.io", "username": "me", "password": "env:PASSWORD"}]
    command = ["trivy", "--server=https://trivy.contoso.com", "image", "{image}"]
    config["gate"]["scanners"] = [{"name": "trivy", "format": "trivy", "command": command}]
    return config


def with_address(field: str, address: str) -> dict[str, Any]:
    path, form = ADDRESSES[field]
    config = configuration()
    section: Any = config
    for step in path[:-1]:
        section = section[step]
    section[path[-1]] = [address] if form == "[]" else address
    return config


def logins() -> st.SearchStrategy[str]:
    """Addresses with a secret for a login."""
    hosts, schemes = st.sampled_from(HOSTS), st.sampled_from(SCHEMES)
    users = st.sampled_from(["me", "git", "x-access-token", "oauth2", ""])
    encoded = st.sampled_from([lambda text: text, lambda text: quote(text, safe="")])
    password = st.builds(
        lambda scheme, user, secret, host, code: f"{scheme}://{user}:{code(secret)}@{host}/x.git",
        schemes, users, SECRETS, hosts, encoded,
    )  # fmt: skip
    token = st.builds(
        lambda scheme, host: f"{scheme}://{SECRET}@{host}/x.git",
        st.sampled_from([scheme for scheme in SCHEMES if "ssh" not in scheme.lower()]), hosts,
    )  # fmt: skip
    scp = st.builds(lambda host, user: f"{user}:{SECRET}@{host}:x/y.git", hosts, st.sampled_from(["me", "git"]))
    escaped = st.builds(
        lambda url, times: url.replace(":", times[0]).replace("@", times[1]),
        st.one_of(password, scp),
        st.sampled_from([("%3A", "%40"), ("%3a", "%40"), ("%253A", "%2540"), (":", "%40"), ("%3A", "@")]),
    )
    whole = password.map(lambda url: quote(url, safe=""))
    backslashes = st.builds(lambda host: rf"https:\\me:{SECRET}@{host}/x", hosts)
    return st.one_of(password, token, scp, escaped, whole, backslashes)


def queries() -> st.SearchStrategy[str]:
    """Addresses with a secret in their query or fragment."""
    names = st.sampled_from(
        [
            *("access_token", "private_token", "token", "sig", "Signature", "X-Amz-Signature", "X-Goog-Signature"),
            *("api-key", "code", "password", "%74oken", "q", ""),
        ]
    )
    return st.builds(
        lambda scheme, host, mark, name: f"{scheme}://{host}/x{mark}{name}={SECRET}",
        st.sampled_from(SCHEMES), st.sampled_from(HOSTS), st.sampled_from(["?", "#", "?a=b&", "?se=1&sp=r&"]), names,
    )  # fmt: skip


def refusal(config: Any) -> str:
    """What every way into the product says about a configuration, which all have to refuse."""
    with pytest.raises(ConfigurationError) as ours:
        parse(json.dumps(config))
    with pytest.raises(ValidationError) as pydantics:
        Bootstrap.model_validate(config)
    # What Prefect makes of it: the message of the run's state.
    prefects = ParameterTypeError.from_validation_error(pydantics.value)
    return f"{ours.value} {ours.value!r} {pydantics.value} {pydantics.value!r} {prefects}"


@pytest.mark.parametrize("field", ADDRESSES)
@given(address=logins() | queries())
@example(address=f"https://me:{SECRET}/a@git.contoso.com/x")
@example(address=f"//me:{SECRET}@git.contoso.com/x")
@example(address=f"https:/me:{SECRET}@git.contoso.com/x")
def test_addresses(field: str, address: str) -> None:
    """A login, a query or a fragment is refused in each address, whatever scheme and encoding; no message has it."""
    said = refusal(with_address(field, address))
    assert SECRET not in said
    assert field.split(".")[0] in said


@pytest.mark.parametrize("field", ADDRESSES)
@settings(max_examples=10)  # the server reads the whole schema again each time
@given(address=logins() | queries())
def test_the_server_refuses_addresses(field: str, address: str) -> None:
    """Prefect's server refuses the same by the schema of the form, before it stores the parameters of a run."""
    config = with_address(field, address)
    with pytest.raises(RefusedByServer):
        validate({"config": config}, SCHEMA, raise_on_error=True)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "ssh://git@git.contoso.com/x.git",
            "SSH://git@git.contoso.com:22/x.git",
            "git+ssh://git@git.contoso.com/~me/x",
        ),
        *(
            "git@git.contoso.com:x/y.git",
            "https://git.contoso.com:8443/x.git",
            "https://git.contoso.com/x@y.git",
            "/srv/git/x#1",
            "../x?",
            "file:///srv/x",
        ),
        *("https://dev.azure.com/contoso/My%20Project/_git/x", "https://[::1]:8443/x", "git@git.contoso.com:x@y"),
    ],
)
def test_remotes_without_secrets(address: str) -> None:
    """Other remotes are taken, by the form as well: a user name for SSH, a port, a path with any character."""
    config = with_address("manifests.remote", address)
    config["manifests"]["token"] = None
    assert parse(json.dumps(config)).manifests.remote == address
    validate({"config": config}, SCHEMA, raise_on_error=True)


@pytest.mark.parametrize(
    "reference",
    [f"docker.io/library/busybox:1.37.0@sha256:{'0' * 64}", "mcr.microsoft.com:443/a/b:1", "localhost:5000/x:1"],
)
def test_references_without_secrets(reference: str) -> None:
    """A tag and a digest are no login."""
    config = with_address("drill.source", reference)
    assert parse(json.dumps(config)).drill.source == reference
    validate({"config": config}, SCHEMA, raise_on_error=True)


def strings(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each text in a document."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(item, str):
            yield (*path, key)
        elif isinstance(item, dict | list):
            yield from strings(item, (*path, key))


FULL = Bootstrap.model_validate(configuration()).model_dump(mode="json")
PLACES = {".".join(map(str, path)): path for path in strings(FULL)}


@pytest.mark.parametrize("secret", [PEM, JWT, f"ghp_1234{SECRET}", f"https://me:{SECRET}@git.contoso.com/x"])
def test_every_text(secret: str) -> None:
    """Each text of the configuration is refused where it holds a recognisable secret, alone or amid text."""
    for path in PLACES.values():
        config = copy.deepcopy(FULL)
        section: Any = config
        for step in path[:-1]:
            section = section[step]
        for value in (secret, f"see {secret}", {"value": secret}, [secret]):
            section[path[-1]] = value
            assert SECRET not in refusal(config), path


@pytest.mark.parametrize("section", ["cluster", "cluster_stamp"])
@pytest.mark.parametrize(
    "parameters",
    [
        {"adminPassword": SECRET},
        {"nested": {"clientSecret": SECRET}},
        {"list": [{"sas_token": SECRET}]},
        {"storageConnectionString": SECRET},
        {"url": f"https://a.blob.contoso.com/c?se=1&sig={SECRET}"},
        {f"https://me:{SECRET}@git.contoso.com": 1},
    ],
)
def test_parameters_of_templates(section: str, parameters: dict[str, Any]) -> None:
    """Parameters of a template hold none either; one whose name says that it is a secret is refused for that."""
    config = copy.deepcopy(FULL)
    config[section]["parameters"] = parameters
    assert SECRET not in refusal(config)


def test_other_parameters_of_templates() -> None:
    """What only names a secret, and links, are taken."""
    config = copy.deepcopy(FULL)
    config["cluster"]["parameters"] = {
        "secretName": "x",
        "keyVaultIpRules": ["10.0.0.1"],
        "docs": "https://contoso.com/x?view=azure#top",
        "token": None,
    }
    assert parse(json.dumps(config)).cluster.parameters["secretName"] == "x"


@pytest.mark.parametrize("section", ["", "manifests", "gate.policy", "gate.policy.limits", "catalogue.releases.0"])
@pytest.mark.parametrize("value", [SECRET, 10**30, {"a": SECRET}, [SECRET]], ids=["text", "number", "group", "list"])
def test_unknown_fields(section: str, value: Any) -> None:
    """An unknown field is named, at any depth, without its value; one whose name is a secret is not named."""
    config = copy.deepcopy(FULL)
    place: Any = config
    for step in filter(None, section.split(".")):
        place = place[int(step) if step.isdecimal() else step]
    place["brunch"] = value
    said = refusal(config)
    assert "brunch" in said
    assert SECRET not in said
    assert str(10**30) not in said
    del place["brunch"]
    place[f"ghp_1234{SECRET}"] = value
    with pytest.raises(ConfigurationError) as refused:
        parse(json.dumps(config))
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("field", ["token", "signing_key", "remote", "ssh"])
@pytest.mark.parametrize("wrong", [SECRET, 12345678901, 1.5e9, True])
def test_values_of_secret_fields(field: str, wrong: Any) -> None:
    """The value of a field whose name says secret is not repeated, whatever its type."""
    config = copy.deepcopy(FULL)
    config["manifests"][field] = wrong
    if field == "remote" and isinstance(wrong, str):
        config["manifests"]["branch"] = 1
    assert str(wrong) not in refusal(config)


@given(text=st.text())
def test_any_text(text: str) -> None:
    """Every text is judged, and the form refuses nothing that a run would take."""
    if embedded_secret(text, address=True) is None:
        assert re.search(ADDRESS_PATTERN, text)
    if embedded_secret(text, address=False) is None:
        assert re.search(TEXT_PATTERN, text)


@pytest.mark.parametrize("unit", ["://", "://:", "a:@", "%", "a%", "%40%3a", "eyJ", "?", "@"])
def test_hostile_text(unit: str) -> None:
    """Any text is judged in bounded time: this one would take minutes if time grew with the square of its length."""
    text = unit * (30_000 // len(unit))
    embedded_secret(text, address=True)
    re.search(ADDRESS_PATTERN, text)
