"""Names of models, parsed once and for everybody.

A name is a base id (`provider.model`), the same behind a geography (`us.provider.model`, an inference profile), or an
ARN. Only here does anybody look inside one. Source: the modelId pattern of botocore's service model.

Source: docs/reference/contracts/models-and-prices.md#identifiers
"""

import re
from urllib.parse import quote

from msgspec import Struct

from app.errors import InvalidRequest
from app.process.bounded_cache import bounded_cache

# from the narrowest to the widest
GEOGRAPHIES = ("jp", "au", "in", "ca", "us-gov", "us", "eu", "apac", "global")

_NAME = re.compile(r"[A-Za-z0-9._:/-]{1,2048}\Z")
_ARN = re.compile(
    r"arn:aws[a-z-]*:(?P<service>bedrock|sagemaker):(?P<region>[a-z0-9-]*):(?P<account>[0-9]*):"
    r"(?P<kind>[a-z-]+)/(?P<id>[A-Za-z0-9._:/-]+)\Z"
)
_DOTS = frozenset({"", ".", ".."})
_HIDDEN = frozenset(
    {"application-inference-profile", "provisioned-model", "custom-model-deployment", "imported-model", "endpoint"}
)


class ModelId(Struct, frozen=True):
    """A model's name, taken apart.

    raw: as it was given. base: `provider.model`, or the raw name where an ARN hides the model.
    geography: of a cross-region profile, or empty. arn_kind: of an ARN, or empty.
    """

    raw: str
    base: str
    geography: str = ""
    arn_kind: str = ""

    @property
    def is_opaque(self) -> bool:
        """True if the name does not tell which model it is."""
        return self.arn_kind in _HIDDEN

    @property
    def costs_as_behind(self) -> bool:
        """True if an opaque name is only another one for a model: its tokens cost what that one's do.

        Capacity of one's own is paid by the minute or the hour, whatever its tokens, and a deployment of a custom model
        at a price that is its own (Amazon Bedrock pricing, 2026-11).
        """
        return self.arn_kind == "application-inference-profile"

    @property
    def quoted(self) -> str:
        """The name as one segment of a path, as boto3 encodes it."""
        return _quoted(self.raw)


@bounded_cache(4096)
def _quoted(raw: str) -> str:
    return quote(raw, safe="")


def is_model_name(raw: str) -> bool:
    """True if `raw` could name a model: it may be logged, and put into a path without leading elsewhere."""
    return _NAME.match(raw) is not None and not _DOTS & set(raw.split("/"))


@bounded_cache(4096)
def parse_model_id(raw: str) -> ModelId:
    """Take a name apart.

    Raises:
        InvalidRequest: it holds characters that no name of a model has, or is an ARN of something else.
    """
    if not is_model_name(raw):
        raise InvalidRequest("the model's name must be a model id, an inference profile id or an ARN", param="model")
    if not raw.startswith("arn:"):
        return _with_geography(raw, raw)
    match = _ARN.match(raw)
    if match is None:
        raise InvalidRequest("the model's ARN is not one of Amazon Bedrock", param="model")
    kind = match["kind"]
    if kind in _HIDDEN:
        return ModelId(raw, raw, arn_kind=kind)
    inside = _with_geography(raw, match["id"])
    return ModelId(raw, inside.base, inside.geography, kind)


def _with_geography(raw: str, name: str) -> ModelId:
    head, _, rest = name.partition(".")
    if head in GEOGRAPHIES and "." in rest:
        return ModelId(raw, rest, head)
    return ModelId(raw, name)
