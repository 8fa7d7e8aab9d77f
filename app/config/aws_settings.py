"""The settings that AWS's own variables hold, and the checks of their values."""

import re
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.aws.botocore_data import available_profiles, bedrock_regions
from app.config.pem import try_pem

_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}\Z")
_URL = re.compile(r"https?://[^/@?#\s]+(/[^?#\s]*)?")


class AwsSettings(BaseSettings):
    """Where AWS is reached, and as whom."""

    # a compiled pattern of Rust's takes 90 KB, and each is used once; Python's `$` would match before a line end
    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, regex_engine="python-re")

    aws_endpoint_url: str | None = Field(None, description="Base URL for every AWS service. AWS's own variable.")
    aws_endpoint_url_bedrock_runtime: str | None = Field(None, description="Base URL of the Bedrock runtime.")
    aws_endpoint_url_bedrock: str | None = Field(None, description="Base URL of Bedrock's control plane.")
    aws_endpoint_url_bedrock_mantle: str | None = Field(
        None, description="Base URL of mantle, Bedrock's OpenAI endpoint."
    )
    aws_config_file: str | None = Field(
        None, validate_default=True, description="AWS's configuration file, if it is not at its default path."
    )
    aws_region: str = Field(description="The AWS region whose Bedrock is called. Required.")
    aws_profile: str | None = Field(None, description="A profile of AWS's configuration files.")
    aws_ca_bundle: Path | None = Field(None, description="Certificates (PEM) to trust instead of the system's.")

    @field_validator(
        "aws_endpoint_url",
        "aws_endpoint_url_bedrock_runtime",
        "aws_endpoint_url_bedrock",
        "aws_endpoint_url_bedrock_mantle",
    )
    @classmethod
    def _check_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            parts = urlsplit(value)
            is_right = bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_right = False
        if not is_right or not _URL.fullmatch(value):
            raise ValueError("must be an http:// or https:// URL without credentials or a query")
        return value.rstrip("/")

    @field_validator("aws_config_file")
    @classmethod
    def _check_config(cls, value: str | None) -> str | None:
        try:
            available_profiles()
        except ValueError as error:
            raise ValueError(f"AWS's configuration files cannot be read: {error}") from None
        return value

    @field_validator("aws_profile")
    @classmethod
    def _check_profile(cls, value: str | None, info: ValidationInfo) -> str | None:
        profiles = available_profiles() if "aws_config_file" in info.data else [value or ""]
        if value is not None and value not in profiles:
            raise ValueError(f"no such profile; the profiles are {', '.join(profiles) or 'none'}")
        return value

    @field_validator("aws_ca_bundle")
    @classmethod
    def _check_bundle(cls, value: Path | None) -> Path | None:
        if value is not None:
            try_pem(lambda: ssl.create_default_context(cafile=value))
        return value

    @field_validator("aws_region")
    @classmethod
    def _check_region(cls, value: str, info: ValidationInfo) -> str:
        if not _REGION.match(value):
            raise ValueError("must be a region's name, such as us-east-1")
        if info.data.get("aws_endpoint_url_bedrock_runtime") or info.data.get("aws_endpoint_url"):
            return value
        if "aws_config_file" in info.data and value not in bedrock_regions():
            raise ValueError(
                f"no known region of Bedrock; known are {', '.join(bedrock_regions())}; "
                "for another region, set AWS_ENDPOINT_URL_BEDROCK_RUNTIME"
            )
        return value
