"""What an environment is: the file infra/environments/NAME.json, which holds no secret."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scripts.deploy.progress import DeployError

FOLDER = Path("infra/environments")
_REPOSITORY = re.compile(r"arn:[a-z-]+:ecr:[a-z0-9-]+:\d{12}:repository/[^@:]+")

Text = Annotated[str, Field(min_length=1)]


class Environment(BaseModel):
    """One environment.

    account: the AWS account that this environment lives in, and no other.
    stack_role: what CloudFormation takes to change the stack (output StackRoleArn of bootstrap.yml).
    parameters: those of infra/service.yml, without the images.
    url: where the gateway is reached from here, if not at the stack's output Url.
    registry: host of the registry, if not at the repository's own address.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,19}$")]
    account: Annotated[str, Field(pattern=r"^[0-9]{12}$")]
    region: Text
    stack_role: Text
    parameters: dict[str, str]
    url: str = ""
    registry: str = ""

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
        _, _, _, region, account, *_ = self.parameters["RepositoryArn"].split(":")
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        return f"{account}.dkr.ecr.{region}.{suffix}/{self.repository}"

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
            f"copy {FOLDER}/example.json to it and fill it in (DEPLOYMENT.md); there are: {known}",
        )
    try:
        environment = Environment.model_validate_json(path.read_bytes())
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, each['loc'])) or 'file'}: {each['msg']}" for each in error.errors())
        raise DeployError(f"{path} is wrong: {faults}", "mend the file; DEPLOYMENT.md explains every line") from None
    if fault := _fault(environment.parameters):
        raise DeployError(f"{path} is wrong: {fault}", "DEPLOYMENT.md explains every parameter")
    return environment


def _fault(parameters: dict[str, str]) -> str:
    """What the template itself cannot refuse."""
    if not _REPOSITORY.fullmatch(parameters.get("RepositoryArn", "")):
        return "parameters.RepositoryArn is no repository's ARN (output RepositoryArn of the bootstrap stack)"
    if int(parameters.get("KeepAliveTimeout", "240")) <= int(parameters.get("IdleTimeout", "180")):
        return "KeepAliveTimeout must be longer than IdleTimeout, or callers see 502"
    return ""
