"""Reads the file of an environment, infra/environments/NAME.json. It contains no secret."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scripts.deploy.progress import DeployError

FOLDER = Path("infra/environments")
_ROLE_ARN = re.compile(r"arn:[a-z-]+:iam::(?P<account>[0-9]{12}):role/[^@:]+")
# a repository with its host; without one, tools assume different default hosts
_REPOSITORY = r"^[a-z0-9-]+([.:][a-z0-9-]+)+(/[a-z0-9._-]+)+$"

_EXAMPLES_ACCOUNT = "123456789012"
# names and template defaults of two numbers, which Rules in a CloudFormation template cannot compare
_IDLE, _KEEP_ALIVE = ("IdleTimeout", 180), ("KeepAliveTimeout", 240)


class Environment(BaseModel):
    """One environment.

    account: the only AWS account that the environment may be deployed to.
    stack_role: the role that CloudFormation assumes to change the stack (output StackRoleArn of bootstrap.yml).
    parameters: parameters of infra/service.yml, without the images.
    url: URL of the gateway, if the output Url of the stack cannot be reached from here.
    registry: host of the registry, if it differs from that of the repository.
    images_from: other repositories that --image may name; every image in them is trusted.
    attestations_from: OWNER/NAME of the repository on GitHub whose workflows must have attested an image before it is
        deployed; `none` deploys images without attestations. It has no default, so that each file says which.
    scan: whether the registry's scan stops a deployment whose image has a critical vulnerability with a fix: `required`
        stops also an image that was not scanned, `if_available` does not, and `none` reads no scan.
    accepted_findings: names of vulnerabilities that stop nothing.
    branch: the branch whose workflow deploy.yml attests images (parameter Branch of bootstrap.yml).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{0,19}$")]
    account: Annotated[str, Field(pattern=r"^[0-9]{12}$")]
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    stack_role: str
    parameters: dict[str, str]
    url: str = ""
    registry: str = ""
    images_from: tuple[Annotated[str, Field(pattern=_REPOSITORY)], ...] = ()
    attestations_from: Annotated[str, Field(pattern=r"^(none|[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+)$")]
    scan: Literal["required", "if_available", "none"] = "if_available"
    accepted_findings: tuple[Annotated[str, Field(pattern=r"^[A-Z]+-[A-Za-z0-9-]+$")], ...] = ()
    branch: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")] = "main"

    @property
    def stack(self) -> str:
        """Name of the stack."""
        return f"outcrop-{self.name}"

    @property
    def repository(self) -> str:
        """Name of the image repository, which bootstrap.yml creates."""
        return self.stack

    @property
    def repository_uri(self) -> str:
        """Repository as it is written in task definitions."""
        suffix = "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"
        return f"{self.account}.dkr.ecr.{self.region}.{suffix}/{self.repository}"

    @property
    def platform(self) -> str:
        """Platform that images are built for."""
        return "linux/arm64" if self.parameters.get("CpuArchitecture") == "ARM64" else "linux/amd64"


def load_environment(given: str) -> Environment:
    """Read an environment by its name or by the path of its file.

    Raises:
        DeployError: the file does not exist or is invalid.
    """
    path = Path(given) if given.endswith(".json") else FOLDER / f"{given}.json"
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in FOLDER.glob("*.json"))) or "none"
        raise DeployError(
            f"there is no environment {given}: {path} is missing",
            f"copy {FOLDER}/example.json to it and edit it (docs/deploy/aws.md); existing environments: {known}",
        )
    try:
        environment = Environment.model_validate_json(path.read_bytes())
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, each['loc'])) or 'file'}: {each['msg']}" for each in error.errors()]
        raise _wrong(path, faults) from None
    if faults := _faults(environment, path.stem):
        raise _wrong(path, faults)
    return environment


def _wrong(path: Path, faults: list[str]) -> DeployError:
    return DeployError(
        f"{path} is invalid: {'; '.join(faults)}", "edit the file; docs/deploy/aws.md explains every line"
    )


def _faults(environment: Environment, stem: str) -> list[str]:
    """Return errors that neither the schema of the file nor the template detects."""
    parameters = environment.parameters
    faults = [] if environment.name == stem else [f"its name is {environment.name}, but the file is named {stem}"]
    if environment.account != _EXAMPLES_ACCOUNT:
        left = [name for name, value in parameters.items() if f":{_EXAMPLES_ACCOUNT}:" in value]
        faults += [f"{name} still has the account of the example" for name in left]
    role = _ROLE_ARN.fullmatch(environment.stack_role)
    if role is None or role["account"] != environment.account:
        faults.append("stack_role is not the ARN of a role in this account")
    idle, keep_alive = (parameters.get(name, str(default)) for name, default in (_IDLE, _KEEP_ALIVE))
    if not (idle.isdigit() and keep_alive.isdigit() and int(idle) < int(keep_alive)):
        faults.append("KeepAliveTimeout must be a number greater than IdleTimeout; otherwise callers get 502")
    if not parameters.get("CertificateArn") and not parameters.get("AllowedCidr", "").endswith("/32"):
        faults.append("without CertificateArn, keys travel in plain text: AllowedCidr must be one address with /32")
    user = f"outcrop_{environment.name}"
    if (url := parameters.get("DatabaseUrl")) and not url.startswith(f"postgresql://{user}@"):
        faults.append(f"DatabaseUrl must begin with postgresql://{user}@: the tasks may sign in as no other user")
    if parameters.get("CreateVpcEndpoints") == "true":
        if not parameters.get("RouteTableIds"):
            faults.append("CreateVpcEndpoints needs RouteTableIds, the routes to the layers of the image")
        if not parameters.get("VpcCidr"):
            faults.append("CreateVpcEndpoints needs VpcCidr, because the whole VPC then uses these endpoints")
    return faults
