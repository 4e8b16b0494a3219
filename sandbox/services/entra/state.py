"""Entra ID's keys and applications, and how other services identify the caller from a token.

A service of Azure Resource Manager authenticates its caller like this::

    registries = Service("containerregistry", ("management.azure.com",), authenticate=arm_caller)

and a data plane with its own audience::

    azure.state(Entra).caller(call, ("https://vault.azure.net",))  # or raises TokenRefused
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sandbox.azure import Azure
from sandbox.core.errors import HttpFault, arm_fault
from sandbox.core.rbac import Principal
from sandbox.core.routing import Call
from sandbox.core.tokens import TokenRefused, TokenSigner
from sandbox.services.entra.errors import entra_fault

AUTHORITY = "https://login.microsoftonline.com"
ARM_AUDIENCES = (
    "https://management.core.windows.net/",
    "https://management.core.windows.net",
    "https://management.azure.com/",
    "https://management.azure.com",
)
FEDERATION_ISSUER = "https://federation.sandbox.localhost/"
FEDERATION_AUDIENCE = "api://AzureADTokenExchange"
#: The subject that the pipeline's federated credential trusts: a Kubernetes service account.
FEDERATED_SUBJECT = "system:serviceaccount:pipelines:pratique"

_SUBSCRIPTION = re.compile(r"/subscriptions/([^/]+)", re.IGNORECASE)


@dataclass(frozen=True)
class Application:
    """How an application can authenticate.

    :ivar secrets: its client secrets
    :ivar subjects: the subjects of federated tokens that identify it
    """

    client_id: str
    secrets: frozenset[str] = frozenset()
    subjects: frozenset[str] = frozenset()


class Entra:
    """The tenant: applications, the signing key of its tokens, and an issuer for workload identity federation."""

    def __init__(self, azure: Azure) -> None:
        self._azure = azure
        self.signer = _signer(f"https://sts.windows.net/{azure.tenant_id}/", azure.home.rsa_key("entra"))
        self.federation = _signer(FEDERATION_ISSUER, azure.home.rsa_key("federation"))
        self._applications: dict[str, Application] = {}
        self.register(
            Application(
                azure.scenario.identity.client_id,
                frozenset({azure.home.client_secret}),
                frozenset({FEDERATED_SUBJECT}),
            )
        )

    def register(self, application: Application) -> None:
        """Allow an application to request tokens; its service principal must be in ``azure.access.principals``."""
        self._applications[application.client_id] = application

    def federated_token(
        self, subject: str = FEDERATED_SUBJECT, audience: str = FEDERATION_AUDIENCE, lifetime: float = 3600
    ) -> str:
        """The token that a cluster with workload identity writes to ``AZURE_FEDERATED_TOKEN_FILE``.

        :param lifetime: real seconds
        """
        return self.federation.issue(audience, {"sub": subject}, lifetime)

    def by_secret(self, client_id: str, secret: str) -> Principal:
        """:raises HttpFault: AADSTS700016 or AADSTS7000215"""
        principal, application = self._application(client_id)
        if not any(hmac.compare_digest(secret.encode(), known.encode()) for known in application.secrets):
            raise entra_fault(self._azure.clock, 7000215, client_id=client_id)
        return principal

    def by_assertion(self, client_id: str, assertion: str) -> Principal:
        """:raises HttpFault: AADSTS700016, or the error of the assertion"""
        principal, application = self._application(client_id)
        try:
            claims = self.federation.read(assertion, (FEDERATION_AUDIENCE,))
        except TokenRefused as refused:
            raise self._assertion_fault(assertion, refused) from None
        subject = str(claims.get("sub", ""))
        if subject not in application.subjects:
            raise entra_fault(self._azure.clock, 700213, subject=subject)
        return principal

    def issue(self, principal: Principal, audience: str, *, by_secret: bool = True, lifetime: float = 3599) -> str:
        """An app-only access token in the 1.0 format, which ARM and Key Vault accept.

        :param lifetime: real seconds
        """
        claims = {
            "appid": principal.client_id,
            "appidacr": "1" if by_secret else "2",
            "idp": self.signer.issuer,
            "idtyp": "app",
            "oid": principal.object_id,
            "sub": principal.object_id,
            "tid": self._azure.tenant_id,
            "ver": "1.0",
        }
        return self.signer.issue(audience, claims, lifetime)

    def caller(self, call: Call, audiences: Collection[str]) -> Principal:
        """Authenticate the caller by its bearer token; sets ``call.caller`` and ``call.claims``.

        :raises TokenRefused: when there is no token or it is not valid for these audiences
        """
        token = call.bearer()
        if token is None:
            raise TokenRefused("There is no bearer token in the Authorization header.")
        claims = self.signer.read(token, audiences)
        principal = self.principal_of(claims)
        call.caller, call.claims = principal, claims
        return principal

    def principal_of(self, claims: dict[str, Any]) -> Principal:
        """:raises TokenRefused: when the token's subject is no longer in the directory"""
        object_id = str(claims.get("oid", ""))
        principal = self._azure.access.principals.get(object_id.lower())
        if principal is None:
            raise TokenRefused(f"The principal '{object_id}' is not in the directory.")
        return principal

    def _application(self, client_id: str) -> tuple[Principal, Application]:
        principal = self._azure.access.principal_of_client(client_id)
        if principal is None:
            raise entra_fault(self._azure.clock, 700016, client_id=client_id, tenant=self._azure.tenant_id)
        return principal, self._applications.get(client_id, Application(client_id))

    def _assertion_fault(self, assertion: str, refused: TokenRefused) -> HttpFault:
        clock = self._azure.clock
        match refused.__cause__:
            case jwt.ExpiredSignatureError() | jwt.ImmatureSignatureError():
                return entra_fault(clock, 700024)
            case jwt.InvalidIssuerError():
                return entra_fault(clock, 700211, issuer=str(_unverified(assertion).get("iss")))
            case jwt.InvalidAudienceError():
                return entra_fault(clock, 700212, audience=str(_unverified(assertion).get("aud")))
        return entra_fault(clock, 50027, detail=str(refused))


async def arm_caller(call: Call) -> None:
    """Authentication for ARM: a valid token for ARM, then an existing subscription.

    :raises HttpFault: ARM's 401, or 404 SubscriptionNotFound
    """
    if "authorization" not in call.headers:
        raise _unauthenticated(
            call, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing."
        )
    try:
        call.azure.state(Entra).caller(call, ARM_AUDIENCES)
    except TokenRefused as refused:
        raise _arm_refusal(call, refused) from None
    match = _SUBSCRIPTION.match(call.path)
    if match and match[1].lower() not in call.azure.subscription_ids:
        raise arm_fault(404, "SubscriptionNotFound", f"The subscription '{match[1]}' could not be found.")


def _arm_refusal(call: Call, refused: TokenRefused) -> HttpFault:
    token = call.bearer()
    if token is None:
        message = "Authentication failed. The 'Authorization' header is provided in an invalid format."
        return _unauthenticated(call, "AuthenticationFailedInvalidHeader", message)
    match refused.__cause__:
        case jwt.ExpiredSignatureError():
            expired = datetime.fromtimestamp(_unverified(token)["exp"], UTC)
            message = (
                f"The access token expiry UTC time '{_american(expired)}' is earlier than current UTC time "
                f"'{_american(call.azure.clock.now())}'."
            )
            return _unauthenticated(call, "ExpiredAuthenticationToken", message)
        case jwt.InvalidAudienceError():
            allowed = ",".join(f"'{audience}'" for audience in ARM_AUDIENCES)
            message = (
                "The access token has been obtained for wrong audience or resource "
                f"'{_unverified(token).get('aud')}'. It should exactly match with one of the allowed audiences "
                f"{allowed}."
            )
            return _unauthenticated(call, "InvalidAuthenticationTokenAudience", message)
    return _unauthenticated(call, "InvalidAuthenticationToken", f"The access token is invalid. {refused}")


def _unauthenticated(call: Call, code: str, message: str) -> HttpFault:
    challenge = (
        f'Bearer authorization_uri="{AUTHORITY}/{call.azure.tenant_id}", error="invalid_token", '
        f'error_description="{message.replace(chr(34), chr(39))}"'
    )
    return arm_fault(401, code, message, headers={"WWW-Authenticate": challenge})


def _american(time: datetime) -> str:
    return f"{time.month}/{time.day}/{time.year} {time:%I:%M:%S %p}"


def _unverified(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def _signer(issuer: str, key: rsa.RSAPrivateKey) -> TokenSigner:
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    key_id = base64.urlsafe_b64encode(hashlib.sha256(public).digest()[:20]).decode().rstrip("=")
    return TokenSigner(issuer, key, key_id)
