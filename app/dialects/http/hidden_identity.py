"""Hides the gateway's identity at AWS in errors: messages of AWS name accounts, roles and ARNs."""

import re
from urllib.parse import unquote

from msgspec.structs import replace

from app.errors import GatewayError

_PRINCIPAL = re.compile(r"User: arn:\S+ is\b")
# in a JSON document a slash may be escaped, and an escape ends a name
_ARN = re.compile(
    r"arn:aws[a-z-]*:(?P<service>[a-z0-9-]*):[a-z0-9-]*:[0-9]{12}:(?:\\/|[^\s\"'\\,;()<>])*[^\s\"'\\,;()<>.]"
)
_ACCOUNT = re.compile(r"(?i)\b(account(?: ?id)?(?:\"\s*:\s*\"|[ :=('#]{1,4}))[0-9]{12}\b")
# unique ids of roles and users, and ids of access keys (IAM user guide, unique identifiers)
_IDS = re.compile(r"\b(?:AROA|AIDA|AKIA|ASIA)[A-Z0-9]{12,124}\b(?::[^\s\"'\\,;()<>]+)?")
_HIDDEN = "[hidden]"
# services whose ARNs callers use as names of models
_OF_MODELS = frozenset({"bedrock", "sagemaker"})


def without_identity(error: GatewayError, path: str, model: str) -> GatewayError:
    """Return the error without accounts, roles and ARNs, Bedrock's own response included.

    Args:
        path, model: of the caller's request; an ARN of a model in them is the caller's, and stays.
    """
    known = f"{unquote(path)} {model}"
    hidden = error.replaced(message=_hide(error.message, known))
    if error.upstream is not None:
        # every byte is a character of latin-1, and what is replaced is ASCII
        body = _hide(error.upstream.body.decode("latin-1"), known).encode("latin-1")
        headers = tuple((name, _hide(value, known)) for name, value in error.upstream.headers)
        hidden.upstream = replace(error.upstream, headers=headers, body=body)
    return hidden


def _hide(text: str, known: str) -> str:
    def hide_arn(match: re.Match[str]) -> str:
        arn: str = match[0].replace("\\/", "/")
        return match[0] if match["service"] in _OF_MODELS and arn in known else _HIDDEN

    text = _PRINCIPAL.sub("the gateway's identity is", text)
    text = _ACCOUNT.sub(rf"\1{_HIDDEN}", _ARN.sub(hide_arn, text))
    return _IDS.sub(_HIDDEN, text)
