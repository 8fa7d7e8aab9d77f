"""Reads the client certificate that a trusted proxy has verified, and reports in a header.

The header counts only on connections from the proxies of FORWARDED_ALLOW_IPS: everybody else could write it.
"""

from collections.abc import Mapping
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from app.config.identity_tables import MtlsRow
from app.errors import AuthenticationFailed
from app.governance.identity.claim_rules import ClaimRules, Identity
from app.server.client_address import TrustedProxies

# names of attributes that RFC 4514 does not have, as OpenSSL writes them
_ATTRIBUTES = {
    "emailAddress": NameOID.EMAIL_ADDRESS,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "GN": NameOID.GIVEN_NAME,
    "SN": NameOID.SURNAME,
    "title": NameOID.TITLE,
}
_SHORT_NAMES = {oid: name for name, oid in _ATTRIBUTES.items()}
_MAX_LENGTH = 8 * 1024
# of an element of `x-forwarded-client-cert`, as Envoy names them
_FROM_ELEMENT = frozenset({"URI", "DNS"})


class ProxyCertificates:
    """Finds the identity of a client certificate.

    Args:
        proxies: those that verify certificates.
    """

    def __init__(self, row: MtlsRow, proxies: TrustedProxies) -> None:
        self._header = row.header.encode()
        self._read = _claims_of_element if row.format == "xfcc" else _claims_of_subject
        self._rules = ClaimRules("mtls", row.rules)
        self._proxies = proxies

    def find(self, scope: Mapping[str, Any]) -> Identity | None:
        """Return the identity; None if no trusted proxy reports a certificate.

        Raises:
            AuthenticationFailed: the header cannot be read, or is sent twice. PermissionRefused: no rule applies.
        """
        values = [value for name, value in scope["headers"] if name == self._header and value]
        if not values or not self._proxies.is_sent_by_proxy(scope):
            return None
        if len(values) > 1:
            raise AuthenticationFailed("the header of the client certificate is sent twice: the proxy must replace it")
        try:
            if len(values[0]) > _MAX_LENGTH:
                raise ValueError
            subject, claims = self._read(values[0].decode())
        except ValueError:
            raise AuthenticationFailed("the header of the client certificate cannot be read") from None
        person = next((claims[name][0] for name in ("CN", "URI", "DNS") if name in claims), subject)
        return self._rules.apply(claims, subject, person)


def _claims_of_subject(text: str) -> tuple[str, dict[str, list[str]]]:
    """Return a distinguished name (RFC 4514), and its attributes. Raises ValueError: it is malformed."""
    claims: dict[str, list[str]] = {}
    for attribute in x509.Name.from_rfc4514_string(text, _ATTRIBUTES):
        if not isinstance(attribute.value, str):
            raise ValueError
        claims.setdefault(_SHORT_NAMES.get(attribute.oid, attribute.rfc4514_attribute_name), []).append(attribute.value)
    if not claims:
        raise ValueError
    return text, claims


def _claims_of_element(text: str) -> tuple[str, dict[str, list[str]]]:
    """Return the last element of `x-forwarded-client-cert`, which the proxy next to the gateway wrote.

    Raises:
        ValueError: it is malformed, or names nothing.
    """
    claims: dict[str, list[str]] = {}
    subject = ""
    for pair in _split(_split(text, ",")[-1], ";"):
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError
        if value.startswith('"'):
            if len(value) < 2 or not value.endswith('"'):
                raise ValueError
            value = value[1:-1].replace('\\"', '"')
        if name in _FROM_ELEMENT and value:
            claims.setdefault(name, []).append(value)
        elif name == "Subject" and value:
            subject, attributes = _claims_of_subject(value)
            claims.update(attributes)
    if not claims:
        raise ValueError
    subject = claims["URI"][0] if "URI" in claims else subject or claims["DNS"][0]
    return subject, claims


def _split(text: str, separator: str) -> list[str]:
    """Split at separators outside of quotes. Raises ValueError: a quote is not closed."""
    parts, start, is_quoted, index = [], 0, False, 0
    while index < len(text):
        character = text[index]
        if character == "\\" and is_quoted:
            index += 1
        elif character == '"':
            is_quoted = not is_quoted
        elif character == separator and not is_quoted:
            parts.append(text[start:index].strip())
            start = index + 1
        index += 1
    if is_quoted:
        raise ValueError
    return [*parts, text[start:].strip()]
