"""The tables `[identity]` of the configuration file: how tokens and certificates become callers.

[[identity.oidc]]
name = "corp"
issuer = "https://login.example.com/tenant"
audiences = ["outcrop"]
user_claim = "email"

[[identity.oidc.rules]]
match = { groups = ["ml-*", "research"] }
team = "research"

[identity.oidc.console]
client_id = "outcrop-console"

[identity.iam]
gateway = "outcrop.example.com"

[[identity.iam.rules]]
match = { arn = "arn:aws:iam::111122223333:role/ml-*" }
team = "research"

[identity.mtls]
header = "x-forwarded-client-cert"
format = "xfcc"

[[identity.mtls.rules]]
match = { URI = "spiffe://example.com/ns/ml/*" }
team = "research"
"""

import ipaddress
import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from app.config.row import Row

_ACCOUNT = re.compile(r"[0-9]{12}\Z")
_ARN_OF_ACCOUNT = re.compile(r"arn:aws[a-z-]*:(iam|sts)::[0-9]{12}:")


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _check_url(url: str) -> str:
    parts = urlsplit(url)
    is_url = bool(parts.hostname) and not (parts.username or parts.query or parts.fragment) and url.isprintable()
    if (
        not is_url
        or " " in url
        or not (parts.scheme == "https" or (parts.scheme == "http" and _is_local(parts.hostname)))
    ):
        raise ValueError("must be an https:// URL without a query (http:// only on this machine)")
    return url


def _is_local(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


_Url = Annotated[str, StringConstraints(max_length=2048), AfterValidator(_check_url)]
_Text = Annotated[str, StringConstraints(min_length=1, max_length=256)]
_Patterns = Annotated[list[_Text], Field(min_length=1, max_length=256), BeforeValidator(_as_list)]
_Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
_Region = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}$")]
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


class RuleRow(Row):
    """What the claims of a caller give it. The first rule that matches and has a team decides team and labels."""

    match: dict[_Text, _Patterns] = Field(
        description="Claims and their values, or lists of values; `*` stands for any text. All claims must match. "
        "`a.b` is the member `b` of the claim `a`. `{}` matches every verified token."
    )
    team: str = Field("", max_length=256, description="The team, by its name or its id.")
    team_claim: str = Field("", max_length=256, description="The claim that names the team.")
    labels: dict[_Label, _Text] = Field(
        default_factory=dict, description="Labels of the calls, over those of the team."
    )
    label_claims: dict[_Label, _Text] = Field(default_factory=dict, description="Labels whose values are claims.")
    roles: list[_Text] = Field(
        default_factory=list, description="Roles. Those of all rules that match count. `admin` may use `/admin/v1`."
    )

    @model_validator(mode="after")
    def _check_team(self) -> "RuleRow":
        if self.team and self.team_claim:
            raise ValueError("team and team_claim exclude each other: remove one")
        if not (self.team or self.team_claim or self.roles):
            raise ValueError("the rule gives nothing: add team, team_claim or roles")
        return self


_Rules = Annotated[list[RuleRow], Field(min_length=1, max_length=256)]


class ConsoleRow(Row):
    """The client by which people sign in to the console at an issuer."""

    client_id: _Text = Field(
        description="The client that the issuer knows for the console. Its redirect URI is "
        "`https://HOST/console/sign-in/NAME/done`."
    )
    scopes: Annotated[list[_Text], Field(min_length=1, max_length=32)] = Field(
        ["openid", "profile", "email"], description="What is asked of the issuer: the claims that the rules match."
    )
    recheck_seconds: int = Field(
        900,
        ge=10,
        le=43_200,
        description="Seconds after which the browser is sent to the issuer again, which asks nothing of a person who "
        "is still signed in there. Roles that the issuer has withdrawn end then.",
    )

    @model_validator(mode="after")
    def _check_scopes(self) -> "ConsoleRow":
        if "openid" not in self.scopes:
            raise ValueError("scopes must have openid: without it the issuer sends no token about the person")
        return self


class OidcRow(Row):
    """An issuer of JSON Web Tokens."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,32}$")] = Field(
        description="A short name, which is part of the callers' names in the log."
    )
    issuer: _Url = Field(description="The issuer, exactly as its tokens name it in `iss`.")
    audiences: _Patterns = Field(description="Accepted values of `aud`: a token has at least one of them.")
    algorithms: list[Algorithm] = Field(
        ["RS256"],
        min_length=1,
        description="Accepted algorithms of signatures. `RS256` if unset.",
    )
    jwks_uri: _Url = Field(
        "", validate_default=False, description="Where the issuer's keys are. If unset, its discovery document tells."
    )
    user_claim: _Text = Field("sub", description="The claim that names the person.")
    console: ConsoleRow | None = Field(None, description="Lets people sign in to the console at the issuer.")
    rules: _Rules = Field(description="What the claims give, see below.")


class IamRow(Row):
    """Callers with AWS credentials, who send a presigned `sts:GetCallerIdentity` as their key."""

    gateway: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.:/_-]{1,255}$")] = Field(
        description="The name of this gateway, which callers sign in the header `x-outcrop-gateway`. Give each "
        "deployment another one, such as its host name."
    )
    regions: list[_Region] = Field(
        default_factory=list, description="Regions whose STS may be asked. The gateway's own if unset."
    )
    rules: _Rules = Field(description="What `arn`, `account`, `type`, `name` and `session` give, see below.")

    @model_validator(mode="after")
    def _check_accounts(self) -> "IamRow":
        for index, rule in enumerate(self.rules):
            accounts, arns = rule.match.get("account", []), rule.match.get("arn", [])
            is_bound = (accounts and all(map(_ACCOUNT.match, accounts))) or (
                arns and all(map(_ARN_OF_ACCOUNT.match, arns))
            )
            if not is_bound:
                raise ValueError(
                    f"rules.{index}: everybody with an AWS account could match: name the account in `account` or `arn`"
                )
        return self


class MtlsRow(Row):
    """Callers with a client certificate, which a trusted proxy has verified."""

    header: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,64}$")] = Field(
        description="The header, in lower case, in which the proxies of FORWARDED_ALLOW_IPS send the certificate. They "
        "must replace a header that the client sends."
    )
    format: Literal["subject", "xfcc"] = Field(
        description="`subject`: the distinguished name (RFC 4514), as of AWS's load balancers and nginx. `xfcc`: as of "
        "Envoy; the last element counts."
    )
    rules: _Rules = Field(description="What the attributes of the subject, `URI` and `DNS` give, see below.")

    @model_validator(mode="after")
    def _check_match(self) -> "MtlsRow":
        if any(not rule.match for rule in self.rules):
            raise ValueError("a rule must match an attribute of the certificate")
        return self


class IdentityRow(Row):
    """Callers who are known by a token or a certificate. It needs DATABASE_URL, which has the teams."""

    oidc: list[OidcRow] = Field(default_factory=list, max_length=32)
    iam: IamRow | None = None
    mtls: MtlsRow | None = None

    @model_validator(mode="after")
    def _check_issuers(self) -> "IdentityRow":
        for field in ("name", "issuer"):
            values = [getattr(row, field) for row in self.oidc]
            if twice := next((value for value in values if values.count(value) > 1), None):
                raise ValueError(f"oidc: two tables have the {field} {twice}")
        return self
