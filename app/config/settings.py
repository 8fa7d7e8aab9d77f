"""The settings, and the checks of their values."""

import os
import secrets
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from app.config.admin_settings import AdminSettings
from app.config.config_file import ConfigFile, load_config, parse_config, read_config
from app.config.console_settings import ConsoleSettings
from app.config.entries import is_secret, parse_aliases, parse_api_keys, parse_origins
from app.config.pem import refuse_password, try_pem
from app.config.quota_settings import QuotaSettings

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
SMOKE = "smoke"
_TRUE, _FALSE = frozenset({"true", "1", "yes", "on", "t", "y"}), frozenset({"false", "0", "no", "off", "f", "n"})
# shared by the worker processes, which are forked from this one
_OWN_SECRET = secrets.token_bytes(32)


class SettingsError(Exception):
    """The settings are invalid. faults: one line for each error; none contains the value of a secret."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class Settings(AdminSettings, ConsoleSettings, QuotaSettings):
    """All settings. The environment variable of a field is its name in upper case."""

    bedrock_model_id: str = Field(
        max_length=2048,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]*\Z",
        description="The default model: a model id, an inference profile id or an ARN. Required.",
    )
    embedding_model_id: str | None = Field(
        None,
        max_length=2048,
        pattern=r"^[A-Za-z0-9._-][A-Za-z0-9._:/-]*\Z",
        description="The default model of embeddings. BEDROCK_MODEL_ID if unset.",
    )
    model_aliases: str = Field(
        "", description="Names that callers may use for models: a comma-separated list of `name=model`."
    )
    config_file: Path | None = Field(
        None, description="A TOML file with aliases, routes, models, limits, prices and quotas."
    )
    config_toml: str = Field("", description="The text of CONFIG_FILE, where no file can be mounted.")
    default_max_tokens: int = Field(
        16_384,
        ge=1,
        le=1_000_000,
        description="Tokens of an answer that are requested of Claude over Converse if the caller names no limit. Room "
        "for reasoning is added.",
    )
    bedrock_connect_timeout: float = Field(10, gt=0, le=300, description="Seconds to connect to Bedrock, TLS included.")
    bedrock_read_timeout: float = Field(
        120, gt=0, le=3600, description="Seconds that Bedrock may be silent, before the first byte and between bytes."
    )
    bedrock_total_timeout: float = Field(
        3600, gt=0, le=7200, description="Seconds that one request may take, with all attempts and waits."
    )
    bedrock_max_attempts: int = Field(
        3,
        ge=1,
        le=10,
        description="Attempts for one call, over all targets that may still answer, the first attempt included.",
    )
    bedrock_retry_max_wait: float = Field(
        20,
        ge=0,
        le=300,
        description="Longest wait in seconds before a retry. A longer Retry-After is passed to the caller instead.",
    )
    retry_budget: float = Field(
        0.1, ge=0, le=10, description="Retries per call to a target, on average over its calls."
    )
    breaker_failures: int = Field(
        10,
        ge=0,
        le=1000,
        description="Consecutive failures after which the circuit breaker of a target opens. 0 disables it.",
    )
    breaker_seconds: float = Field(
        5, gt=0, le=300, description="Seconds that an open circuit breaker waits before it lets one call through."
    )
    aws_bearer_token_bedrock: SecretStr | None = Field(
        None, description="A Bedrock API key, used instead of AWS credentials."
    )
    api_keys: SecretStr | None = Field(
        None,
        description="The callers' keys: a comma-separated list of `secret` or `name=secret`. A secret has at least 16 "
        "characters. A name may have several secrets while they are rotated.",
    )
    smoke_api_key: SecretStr | None = Field(
        None, description="One more key, of the caller `smoke`, for the smoke test after a deployment."
    )
    anthropic_betas: str = Field(
        "",
        description="Names of `anthropic-beta` to pass to Bedrock in addition to the known ones, comma-separated.",
    )
    native_surfaces: str = Field(
        "invoke,openai,mantle",
        pattern=r"^(none|(invoke|openai|mantle)(,(invoke|openai|mantle))*)\Z",
        description="Surfaces that are used beside Converse, or `none`. Models that only an excluded surface serves "
        "cannot be called.",
    )
    auth_disabled: Literal[True, False, "any"] = Field(
        False,
        validate_default=True,
        description="`true` serves clients on this machine without a key, `any` serves everyone.",
    )
    forwarded_allow_ips: str = Field(
        "",
        description="Addresses and networks of load balancers, comma-separated, whose X-Forwarded-For tells the "
        "client's address. `*` takes its last entry, whoever connects. Empty trusts none.",
    )
    expose_aws_identity: bool = Field(
        False, description="Show callers the account ids, roles and ARNs in error messages of AWS."
    )
    cors_origins: str = Field(
        "",
        description="Origins of web pages whose scripts may call the gateway, comma-separated, such as "
        "`https://app.example.com`; `*` for all. Empty allows none.",
    )
    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on. 0 takes a free one.")
    web_concurrency: int = Field(1, ge=1, le=64, description="Worker processes. One for each core is enough.")
    tls_certfile: Path | None = Field(None, description="Certificate chain (PEM), to serve HTTPS.")
    tls_keyfile: Path | None = Field(None, validate_default=True, description="Private key (PEM) of TLS_CERTFILE.")
    log_level: str = Field("INFO", description="Lowest level that is logged: debug, info, warning, error.")
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="Format of log lines: JSON, or text for people. `auto` is text on a terminal, else JSON."
    )
    max_body_bytes: int = Field(25_000_000, ge=1024, le=1_000_000_000, description="Largest request body in bytes.")
    fetch_media: bool = Field(
        False, description="Fetch images and documents that callers name by URL, from public addresses."
    )
    fetch_media_bytes: int = Field(
        10_000_000, ge=1024, le=100_000_000, description="Bytes of all media that one request names."
    )
    fetch_media_timeout: float = Field(10, gt=0, le=120, description="Seconds to fetch one image or document.")
    max_bodies_bytes: int = Field(
        268_435_456,
        validate_default=True,
        ge=1024,
        le=100_000_000_000,
        description="Bytes of all request bodies and fetched media. Texts that are not ASCII count up to three times, "
        "and many values by their number. Unverified requests have half as many besides.",
    )
    max_unsent_bytes: int = Field(
        134_217_728,
        ge=1_000_000,
        le=100_000_000_000,
        description="Bytes of complete responses above 16 KB that are read or unsent, and of streams whose callers do "
        "not read. With several keys, each may have half.",
    )
    unread_timeout: float = Field(
        120, gt=0, le=3600, description="Seconds after which a caller that receives nothing of its response is cut off."
    )
    guardrail_id: str | None = Field(
        None,
        max_length=2048,
        pattern=r"^([a-z0-9]+|arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{1,20}:[0-9]{12}:guardrail/[a-z0-9]+)\Z",
        description="Id or ARN of a guardrail for every call. A call that it cannot be applied to is refused.",
    )
    guardrail_version: str = Field(
        "DRAFT", pattern=r"^([1-9][0-9]{0,7}|DRAFT)\Z", description="Version of the guardrail."
    )
    max_in_flight: int = Field(5000, ge=1, le=100_000, description="Requests at once, divided between several keys.")
    max_waiting: int = Field(
        500,
        ge=0,
        le=100_000,
        description="Requests that may wait for a permit. Further ones get 429 (529 for Anthropic clients).",
    )
    max_wait: float = Field(1, ge=0, le=60, description="Seconds that a request may wait for a permit.")
    caller_timeout: float = Field(
        30,
        gt=0,
        le=600,
        description="Seconds to receive a head, and a body, plus one for each 16 KB of body (signed: 128 KB).",
    )
    heartbeat_interval: float = Field(
        15,
        ge=0,
        le=300,
        description="Seconds of silence after which a stream sends a comment or ping. 0 disables it.",
    )
    responses_store: str = Field(
        "memory",
        pattern=r"^(memory|sqlite:///.+)\Z",
        description="Store of responses of `/v1/responses`: `memory`, for one process, or `sqlite:///` and a path.",
    )
    responses_lifetime: float = Field(
        3600, gt=0, le=2_592_000, description="Seconds for which responses of `/v1/responses` are stored."
    )
    seal_secret: SecretStr | None = Field(
        None,
        min_length=16,
        description="Signs reasoning that callers of `/v1/responses` send back. Each caller's key signs if unset.",
    )
    load_log_interval: float = Field(
        60, ge=0, le=3600, description="Seconds between log lines that report requests in flight. 0 disables them."
    )
    metrics_key: SecretStr | None = Field(
        None,
        min_length=8,
        description="Bearer token for `/metrics`, which otherwise serves clients on this machine only.",
    )
    keep_alive_timeout: int = Field(
        75,
        ge=1,
        le=4000,
        description="Seconds that a caller's idle connection stays open. Must exceed a load balancer's idle timeout.",
    )
    shutdown_grace: float = Field(
        30,
        ge=0,
        le=3600,
        description="Seconds that open requests, and responses in the background, may continue after SIGTERM.",
    )

    @field_validator("config_file")
    @classmethod
    def _check_config_file(cls, value: Path | None) -> Path | None:
        if value is not None:
            load_config(value)
        return value

    @field_validator("config_toml")
    @classmethod
    def _check_config_toml(cls, value: str, info: ValidationInfo) -> str:
        parse_config(value)
        if value and info.data.get("config_file") is not None:
            raise ValueError("CONFIG_FILE is set too: set only one of them")
        return value

    @field_validator("model_aliases")
    @classmethod
    def _check_aliases(cls, value: str) -> str:
        parse_aliases(value)
        return value

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, value: str, info: ValidationInfo) -> str:
        if "*" in parse_origins(value) and info.data.get("auth_disabled"):
            raise ValueError("with AUTH_DISABLED, every web page could call the gateway: name the origins")
        return value

    @field_validator("log_level")
    @classmethod
    def _check_level(cls, value: str) -> str:
        if value.upper() not in _LEVELS:
            raise ValueError(f"must be one of {', '.join(_LEVELS)}")
        return value.upper()

    @field_validator("responses_store")
    @classmethod
    def _check_responses_store(cls, value: str) -> str:
        path = Path(value.partition(":///")[2])
        if value != "memory" and (path.is_dir() or not os.access(path.parent, os.W_OK)):
            raise ValueError(f"{path} is not a file in a writable folder")
        return value

    @field_validator("api_keys")
    @classmethod
    def _check_keys(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_api_keys(value.get_secret_value())
        return value

    @field_validator("smoke_api_key")
    @classmethod
    def _check_smoke_key(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None:
            others = info.data.get("api_keys")
            smoke = f"{SMOKE}={value.get_secret_value()}"
            if "," in smoke:
                raise ValueError("must be one key, without a comma")
            parse_api_keys(f"{others.get_secret_value()},{smoke}" if others else smoke)
        return value

    @field_validator("aws_bearer_token_bedrock", "metrics_key")
    @classmethod
    def _check_header_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not is_secret(value.get_secret_value()):
            raise ValueError("must be printable ASCII without spaces")
        return value

    @field_validator("max_bodies_bytes")
    @classmethod
    def _check_bodies(cls, value: int, info: ValidationInfo) -> int:
        if value < (largest := info.data.get("max_body_bytes", 0)):
            raise ValueError(f"must hold one body of MAX_BODY_BYTES, {largest}")
        return value

    @field_validator("auth_disabled", mode="before")
    @classmethod
    def _parse_auth(cls, value: object) -> object:
        text = str(value).lower()
        return text in _TRUE if text in _TRUE | _FALSE else text

    @field_validator("auth_disabled")
    @classmethod
    def _check_auth(cls, value: bool | str, info: ValidationInfo) -> bool | str:
        has_keys = info.data.get("api_keys", "") is not None or info.data.get("database_url", "") is not None
        if not value and not has_keys:
            raise ValueError("API_KEYS is not set: set keys, or AUTH_DISABLED=true to serve clients on this machine")
        return value

    @field_validator("tls_certfile", "tls_keyfile")
    @classmethod
    def _check_tls(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError("must be a readable file")
        is_half = info.field_name == "tls_keyfile" and (info.data.get("tls_certfile", value) is None) != (value is None)
        if is_half:
            raise ValueError("TLS_CERTFILE and TLS_KEYFILE go together: set both or neither")
        certificate = info.data.get("tls_certfile")
        if info.field_name == "tls_keyfile" and certificate is not None and value is not None:
            try_pem(
                lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, value, refuse_password)
            )
        return value

    def keys(self) -> dict[str, tuple[str, ...]]:
        """Return the secrets of each caller, by name; the newest last. Empty if none are set."""
        keys = parse_api_keys(self.api_keys.get_secret_value()) if self.api_keys else {}
        if self.smoke_api_key:
            keys[SMOKE] = (*keys.get(SMOKE, ()), self.smoke_api_key.get_secret_value())
        return keys

    def has_several_callers(self) -> bool:
        """Return whether one caller may hurt another. The smoke test of a deployment does not count as a caller."""
        return self.database_url is not None or len(self.keys().keys() - {SMOKE}) > 1

    def config_text(self) -> str:
        """Return the text of the configuration file, wherever it is."""
        return self.config_toml if self.config_file is None else read_config(self.config_file)

    def config(self) -> ConfigFile:
        """Return the configuration file, with MODEL_ALIASES, which take precedence over its aliases and routes."""
        file = parse_config(self.config_text())
        own = parse_aliases(self.model_aliases)
        routes = {name: route for name, route in file.routes.items() if name not in own}
        return file.model_copy(update={"aliases": {**file.aliases, **own}, "routes": routes})

    def surfaces(self) -> frozenset[str]:
        """Return the names of NATIVE_SURFACES."""
        return frozenset(self.native_surfaces.split(",")) - {"none"}

    def signing_secrets(self) -> Callable[[str], tuple[bytes, ...]]:
        """Return a function from a caller's name to the secrets that sign its reasoning; the newest, last, signs.

        They are the same in every process and replica: SEAL_SECRET, else the caller's own keys in API_KEYS, else one
        that follows from KEY_PEPPER. Without any of these they hold until the process ends.
        """
        if self.seal_secret:
            shared = (self.seal_secret.get_secret_value().encode(),)
            return lambda _: shared
        keys = {name: tuple(secret.encode() for secret in secrets) for name, secrets in self.keys().items()}
        return lambda caller: keys.get(caller) or (self.derived_secret(f"reasoning of {caller}") or _OWN_SECRET,)

    def metrics_secret(self) -> str:
        """Return METRICS_KEY, or an empty string."""
        return self.metrics_key.get_secret_value() if self.metrics_key else ""

    def betas(self) -> frozenset[str]:
        """Return the names of ANTHROPIC_BETAS."""
        return frozenset(name.strip() for name in self.anthropic_betas.split(",") if name.strip())
