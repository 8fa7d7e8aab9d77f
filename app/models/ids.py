"""Model names. No other module looks inside one.

A name is a base id (`provider.model`), a base id after a geography (`us.provider.model`, an inference profile), or an
ARN. Source of the pattern: botocore's service model.

Source: docs/reference/contracts/models-and-prices.md#identifiers
"""

import re
from urllib.parse import quote

from msgspec import Struct

from app.errors import InvalidRequest
from app.process.bounded_cache import bounded_cache
from app.wire.secret_text import has_secret

# from the narrowest to the widest
GEOGRAPHIES = ("jp", "au", "in", "ca", "us-gov", "us", "eu", "apac", "global")

_NAME = re.compile(r"[A-Za-z0-9._:/-]{1,2048}\Z")
_ARN = re.compile(
    r"arn:aws[a-z-]*:(?P<service>bedrock|sagemaker):(?P<region>[a-z0-9-]*):(?P<account>[0-9]*):"
    r"(?P<kind>[a-z-]+)/(?P<id>[A-Za-z0-9._:/-]+)\Z"
)
_DOTS = frozenset({"", ".", ".."})
_OPAQUE = frozenset(
    {"application-inference-profile", "provisioned-model", "custom-model-deployment", "imported-model", "endpoint"}
)


class ModelId(Struct, frozen=True, cache_hash=True):
    """A parsed model name.

    raw: as it was given. base: `provider.model`, or the raw name where an ARN hides the model.
    geography: of a cross-region profile, or empty. arn_kind: of an ARN, or empty.
    quoted: the name as one segment of a path, as boto3 encodes it.
    is_opaque: the name hides which model it is.
    is_billed_as_model: an opaque name whose tokens cost what those of the model behind it cost. Provisioned capacity is
        billed by time, and a deployment of a custom model has its own price (Amazon Bedrock pricing, 2026-11).
    """

    raw: str
    base: str
    geography: str
    arn_kind: str
    quoted: str
    is_opaque: bool
    is_billed_as_model: bool


def is_model_name(raw: str) -> bool:
    """Tell whether `raw` could name a model: it is safe to log, and safe as a segment of a path."""
    return _NAME.match(raw) is not None and not _DOTS & set(raw.split("/")) and not has_secret(raw)


def without_prefix(name: str) -> str:
    """Return a name without LiteLLM's `bedrock/`, `bedrock/converse/` or `bedrock/invoke/` in front of it."""
    if not name.startswith("bedrock/"):
        return name
    return name.removeprefix("bedrock/").removeprefix("converse/").removeprefix("invoke/")


@bounded_cache(4096)
def parse_model_id(raw: str) -> ModelId:
    """Take a name apart.

    Raises:
        InvalidRequest: it holds characters that no name of a model has, or is an ARN of something else.
    """
    if not is_model_name(raw):
        raise InvalidRequest("the model's name must be a model id, an inference profile id or an ARN", param="model")
    if not raw.startswith("arn:"):
        return _model_id(raw, raw)
    match = _ARN.match(raw)
    if match is None:
        raise InvalidRequest("the model's ARN is not one of Amazon Bedrock", param="model")
    return _model_id(raw, match["id"], match["kind"])


def _model_id(raw: str, name: str, kind: str = "") -> ModelId:
    is_opaque, geography = kind in _OPAQUE, ""
    head, _, rest = name.partition(".")
    if is_opaque:
        name = raw
    elif head in GEOGRAPHIES and "." in rest:
        name, geography = rest, head
    return ModelId(
        raw,
        base=name,
        geography=geography,
        arn_kind=kind,
        quoted=quote(raw, safe=""),
        is_opaque=is_opaque,
        is_billed_as_model=kind == "application-inference-profile",
    )
