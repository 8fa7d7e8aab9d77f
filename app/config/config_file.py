"""The configuration file (TOML): aliases, routes over several targets, and settings of models.

[aliases]
fast = "us.amazon.nova-lite-v1:0"

[routes.smart]
targets = [
    { model = "us.anthropic.claude-sonnet-5" },
    { model = "global.anthropic.claude-sonnet-5", region = "us-west-2" },
    { model = "us.amazon.nova-pro-v1:0", role = "arn:aws:iam::111122223333:role/outcrop" },
]

[models."arn:aws:bedrock:us-east-1:111122223333:imported-model/abc"]
stands_for = "meta.llama3-3-70b-instruct-v1:0"

[limits."us.anthropic.claude-sonnet-5"]
first_byte = 300
total = 900

[prices."meta.llama3-3-70b-instruct-v1:0"]
input = 0.70
output = 0.70

[quotas."us.anthropic.claude-sonnet-5"]
tokens_per_minute = 3000000
regions.us-west-2 = { tokens_per_minute = 1000000 }

[quota_weights]
team-a = 3
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints, ValidationError, model_validator

from app.config.identity_tables import IdentityRow
from app.config.row import Row

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,128}$")]
ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,2047}$")]


_Region = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}$")]
_Role = Annotated[str, StringConstraints(pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]{1,512}$")]
_Url = Annotated[str, StringConstraints(pattern=r"^https?://[^/@?#\s]+(/[^?#\s]*)?$")]


class TargetRow(Row):
    """A target of a route. The defaults are the gateway's own region, role and endpoint."""

    model: ModelName = Field(description="A model id, an inference profile id or an ARN.")
    region: _Region = Field("", description="Another AWS region.")
    role: _Role = Field("", description="A role to assume, in this or another account.")
    endpoint_url: _Url = Field("", description="Another base URL of the Bedrock runtime.")
    tier: Literal["", "default", "priority", "flex", "reserved"] = Field(
        "", description="The service tier of calls that request none themselves."
    )
    weight: int = Field(1, ge=1, le=1000, description='Part of the requests, with `order = "weighted"`.')


class RouteRow(Row):
    """A name for several targets."""

    targets: list[TargetRow] = Field(min_length=1, max_length=16, description="The targets, see below.")
    order: Literal["first", "weighted"] = Field(
        "first", description="Try targets in the order of the list, or draw the first one by weight."
    )

    @model_validator(mode="after")
    def _check_weights(self) -> "RouteRow":
        if self.order == "first" and any(target.weight != 1 for target in self.targets):
            raise ValueError('a weight has no effect without order = "weighted"')
        return self


class ModelRow(Row):
    """Names the model behind an ARN."""

    stands_for: ModelName = Field(description="The base id of the model that the ARN stands for.")


class LimitsRow(Row):
    """Limits of a model, instead of the gateway's: timeouts in seconds, and tokens. `total` can only shorten."""

    connect: float | None = Field(None, gt=0, le=300, description="Seconds to connect.")
    first_byte: float | None = Field(None, gt=0, le=3600, description="Seconds to the first byte.")
    idle: float | None = Field(None, gt=0, le=3600, description="Seconds between bytes.")
    total: float | None = Field(
        None, gt=0, le=7200, description="Seconds for the whole request. Only shortens BEDROCK_TOTAL_TIMEOUT."
    )
    default_max_tokens: int | None = Field(
        None, ge=1, le=1_000_000, description="Tokens of an answer, where DEFAULT_MAX_TOKENS applies."
    )


class PriceRow(Row):
    """Prices of a model, in USD per million tokens; see `models/prices.py`."""

    model_config = ConfigDict(allow_inf_nan=False)

    input: float = Field(ge=0, description="USD per million input tokens.")
    output: float = Field(ge=0, description="USD per million output tokens.")
    cache_read: float | None = Field(None, ge=0, description="USD per million tokens read from the cache.")
    cache_write: float | None = Field(None, ge=0, description="USD per million tokens written to it for 5 minutes.")
    cache_write_1h: float | None = Field(None, ge=0, description="USD per million tokens written to it for 1 hour.")
    regional: float = Field(1.0, ge=0, description="Factor of all prices, except for calls of global profiles.")


class GuardrailPriceRow(Row):
    """Prices of guardrails, in USD per 1,000 units that they have examined. What is left out has the built-in price."""

    model_config = ConfigDict(allow_inf_nan=False)

    content: float | None = Field(None, ge=0, description="Content filters, by text.")
    content_image: float | None = Field(None, ge=0, description="Content filters, by image.")
    topic: float | None = Field(None, ge=0, description="Denied topics.")
    word: float | None = Field(None, ge=0, description="Word filters.")
    sensitive_information: float | None = Field(None, ge=0, description="Filters of sensitive information.")
    sensitive_information_free: float | None = Field(None, ge=0, description="Those by regular expressions.")
    contextual_grounding: float | None = Field(None, ge=0, description="Contextual grounding checks.")
    automated_reasoning: float | None = Field(None, ge=0, description="Automated reasoning checks.")


class RegionQuotaRow(Row):
    """A quota of Bedrock in one region. What is left out is not limited."""

    tokens_per_minute: int | None = Field(None, ge=1, le=10**12, description="Tokens, at the runtime.")
    requests_per_minute: int | None = Field(None, ge=1, le=10**9, description="Requests, where AWS still counts them.")
    input_tokens_per_minute: int | None = Field(None, ge=1, le=10**12, description="Input tokens, on mantle.")
    output_tokens_per_minute: int | None = Field(None, ge=1, le=10**12, description="Output tokens, on mantle.")

    @model_validator(mode="after")
    def _check_tokens(self) -> "RegionQuotaRow":
        if (self.input_tokens_per_minute is None) != (self.output_tokens_per_minute is None):
            raise ValueError("input_tokens_per_minute and output_tokens_per_minute go together: set both or neither")
        if self.tokens_per_minute is None and self.input_tokens_per_minute is None:
            raise ValueError("set tokens_per_minute, or input_tokens_per_minute and output_tokens_per_minute")
        return self


class QuotaRow(RegionQuotaRow):
    """A quota of Bedrock, of a model or inference profile in each region and account that has no other."""

    target: float = Field(0.93, ge=0.1, le=1, description="The share of the quota that is used.")
    output_burndown: int | None = Field(
        None, ge=1, le=1000, description="Tokens of the quota that an output token takes, instead of the known number."
    )
    regions: dict[_Region, RegionQuotaRow] = Field(default_factory=dict, description="Other quotas, by region.")


class ConfigFile(Row):
    """The configuration file."""

    aliases: dict[Name, ModelName] = Field(default_factory=dict)
    routes: dict[Name, RouteRow] = Field(default_factory=dict)
    models: dict[ModelName, ModelRow] = Field(default_factory=dict)
    limits: dict[ModelName, LimitsRow] = Field(default_factory=dict)
    prices: dict[ModelName, PriceRow] = Field(default_factory=dict)
    guardrail_prices: GuardrailPriceRow = Field(default_factory=GuardrailPriceRow.model_construct)
    quotas: dict[ModelName, QuotaRow] = Field(default_factory=dict)
    quota_weights: dict[Name, Annotated[float, Field(gt=0, le=1000)]] = Field(
        default_factory=dict,
        description="Parts of teams where several wait for one quota, by their ids. 1 if left out.",
    )
    identity: IdentityRow | None = None

    @model_validator(mode="after")
    def _check_names(self) -> "ConfigFile":
        if twice := self.aliases.keys() & self.routes.keys():
            raise ValueError(f"{min(twice)} is an alias and a route")
        return self


def load_config(path: Path) -> ConfigFile:
    """Read and parse a file. Raises ValueError, as `read_config` and `parse_config` do."""
    return parse_config(read_config(path))


def read_config(path: Path) -> str:
    """Return the text of a file.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        return path.read_text()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"is not valid TOML: {error}") from None


def parse_config(text: str) -> ConfigFile:
    """Parse the text of a configuration file.

    Raises:
        ValueError: it is not TOML, or fields are unknown or invalid. It has one line for each fault.
    """
    if not text:
        return ConfigFile.model_construct()
    import tomllib  # most deployments have no file

    try:
        return ConfigFile.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"is not valid TOML: {error}") from None
    except ValidationError as error:
        from app.config.toml_faults import describe_faults  # only where there are faults

        raise ValueError("\n".join(describe_faults(error, text, ConfigFile))) from None
