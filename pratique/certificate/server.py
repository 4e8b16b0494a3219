"""Whether a server can prove a name to its clients with a certificate.

Sources: RFC 9525 (names), RFC 5280 §4.2.1.3 and §4.2.1.12 (key usage, extended key usage).
"""

from __future__ import annotations

from contextlib import suppress
from ipaddress import ip_address

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pratique.certificate.chain import is_self_signed
from pratique.certificate.parts import REISSUE, reject
from pratique.markdown import one_line
from pratique.text import first_few

_SERVER = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The names that clients compare: DNS names, then addresses as ``IP 10.0.0.4``.

    They are the subject alternative names. A certificate without any has its common names instead, which most clients
    ignore (RFC 9525 §2); Application Gateway does not.
    """
    alternative = _alternative_names(certificate)
    if alternative is None:
        return _common_names(certificate)
    addresses = [f"IP {address}" for address in alternative.get_values_for_type(x509.IPAddress)]
    return tuple(dict.fromkeys([*alternative.get_values_for_type(x509.DNSName), *addresses]))


def has_name(names: tuple[str, ...], subject: str) -> bool:
    """Whether one of the names covers the subject, which may be a wildcard itself.

    Letter case is ignored. A wildcard stands for one whole label, the first one (RFC 9525 §6.3).
    """
    try:
        return f"IP {ip_address(subject)}" in names
    except ValueError:
        wanted = _ascii(subject)
    host, _, parent = wanted.partition(".")
    covering = {wanted} if host in ("", "*") or "." not in parent else {wanted, f"*.{parent}"}
    return any(_ascii(name) in covering for name in names)


def require_server(leaf: x509.Certificate, subject: str, source: str) -> tuple[str, ...]:
    """Check what a certificate may be used for, and that it covers a name. Returns warnings.

    The common name of a self-signed certificate counts when there are no alternative names: the walkthrough's own
    certificate has nothing else, and Application Gateway, its only client, trusts that very certificate.

    :param source: of the certificate, in errors
    :raises CertificateRejected: when a server cannot prove the name with it
    """
    _check_usage(leaf, source)
    names = names_of(leaf)
    if not has_name(names, subject):
        shown = first_few([one_line(name) for name in names], 10) or "no name"
        beside = " The common name does not count beside these." if has_name(_common_names(leaf), subject) else ""
        remedy = f"Have it issued for {subject}, or correct certificate.subject."
        reject(source, f"The certificate is for {shown}, and not for {subject}.{beside}", remedy)
    if _alternative_names(leaf) is not None:
        return ()
    observed = (
        f"The certificate has no subject alternative name, only the common name {subject}, which most clients ignore."
    )
    if not is_self_signed(leaf):
        reject(source, observed, f"Have it issued again with the subject alternative name {subject}.")
    return (f"{observed} Application Gateway accepts it; have the next one issued with a subject alternative name.",)


def _check_usage(leaf: x509.Certificate, source: str) -> None:
    for extension in leaf.extensions:
        match extension.value:
            case x509.ExtendedKeyUsage() as usages if not _SERVER & {*usages}:
                allowed = first_few([usage._name for usage in usages])
                observed = f"Its extended key usage is {allowed}, which excludes server authentication."
                reject(source, observed, "Have it issued again for server authentication (serverAuth).")
            case x509.KeyUsage() as usage if not (
                usage.digital_signature or usage.key_encipherment or usage.key_agreement
            ):
                observed = "Its key usage allows neither signatures nor the exchange of keys, so no server can use it."
                reject(source, observed, REISSUE)


def _alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def _common_names(certificate: x509.Certificate) -> tuple[str, ...]:
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return tuple(dict.fromkeys(str(attribute.value) for attribute in found))


def _ascii(name: str) -> str:
    """A name as certificates have it: international names as Punycode, in lower case."""
    with suppress(UnicodeError):  # not a domain name
        name = name.encode("idna").decode()
    return name.lower().rstrip(".")
