"""What an environment is: the file infra/environments/NAME.json, which holds no secret."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scripts.deploy.progress import DeployError

FOLDER = Path("infra/environments")
_ARN = re.compile(
    r"arn:[a-z-]+:(?P<service>ecr|iam):(?P<region>[a-z0-9-]*):(?P<account>[0-9]{12}):(?P<kind>[a-z]+)/(?P<name>[^@:]+)"
)
# with its host, without which each tool looks elsewhere
_REPOSITORY = r"^[a-z0-9-]+([.:][a-z0-9-]+)+(/[a-z0-9._-]+)+$"

_EXAMPLES_ACCOUNT = "123456789012"
# what CloudFormation's own Rules cannot compare: numbers, with the template's defaults
_IDLE, _KEEP_ALIVE = ("IdleTimeout", 180), ("KeepAliveTimeout", 240)


class Environment(BaseModel):
    """One environment.

    account: the AWS account that this environment lives in, and no other.
    stack_role: what CloudFormation takes to change the stack (output StackRoleArn of bootstrap.yml).
    parameters: those of infra/service.yml, without the images.
    url: where the gateway is reached from here, if not at the stack's output Url.
    registry: host of the registry, if not at the repository's own address.
    images_from: the repositories that --image may name besides the environment's own, all that they hold included.
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

    @property
    def stack(self) -> str:
        """The name of the stack."""
        return f"outcrop-{self.name}"

    @property
    def repository(self) -> str:
        """The name of the repository of images."""
        return self.parameters["RepositoryArn"].partition(":repository/")[2]

    @property
    def repository_uri(self) -> str:
        """The repository as task definitions name it."""
        suffix = "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"
        return f"{self.account}.dkr.ecr.{self.region}.{suffix}/{self.repository}"

    @property
    def platform(self) -> str:
        """The platform that images are built for."""
        return "linux/arm64" if self.parameters.get("CpuArchitecture") == "ARM64" else "linux/amd64"


def load_environment(given: str) -> Environment:
    """Read an environment by its name, or by the path of its file.

    Raises:
        DeployError: there is no such file, or it is wrong.
    """
    path = Path(given) if given.endswith(".json") else FOLDER / f"{given}.json"
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in FOLDER.glob("*.json"))) or "none"
        raise DeployError(
            f"there is no environment {given}: {path} is missing",
            f"copy {FOLDER}/example.json to it and fill it in (docs/deploy/aws.md); there are: {known}",
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
    return DeployError(f"{path} is wrong: {'; '.join(faults)}", "mend the file; docs/deploy/aws.md explains every line")


def _faults(environment: Environment, stem: str) -> list[str]:
    """What neither the file's shape nor the template refuses."""
    parameters = environment.parameters
    arns = {
        "stack_role": (environment.stack_role, "role", ""),
        "RepositoryArn": (parameters.get("RepositoryArn", ""), "repository", environment.region),
        "PermissionsBoundaryArn": (parameters.get("PermissionsBoundaryArn", ""), "policy", ""),
    }
    faults = [] if environment.name == stem else [f"its name is {environment.name}, and the file's is {stem}"]
    if environment.account != _EXAMPLES_ACCOUNT:
        left = [name for name, value in parameters.items() if f":{_EXAMPLES_ACCOUNT}:" in value]
        faults += [f"{name} names the example's account still" for name in left]
    for name, (arn, kind, region) in arns.items():
        match = _ARN.fullmatch(arn)
        if match is None or (match["kind"], match["account"], match["region"]) != (kind, environment.account, region):
            faults.append(f"{name} is no ARN of a {kind} in this account{' and region' if region else ''}")
    idle, keep_alive = (parameters.get(name, str(default)) for name, default in (_IDLE, _KEEP_ALIVE))
    if not (idle.isdigit() and keep_alive.isdigit() and int(idle) < int(keep_alive)):
        faults.append("KeepAliveTimeout must be a number above IdleTimeout, or callers see 502")
    if parameters.get("CreateVpcEndpoints") == "true":
        if not parameters.get("RouteTableIds"):
            faults.append("CreateVpcEndpoints needs RouteTableIds, by which the layers of the image come")
        if not parameters.get("VpcCidr"):
            faults.append("CreateVpcEndpoints needs VpcCidr: all of the VPC reaches AWS by them then")
    return faults
