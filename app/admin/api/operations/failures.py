"""Why an operation is refused. The messages are for administrators."""

from collections.abc import Sequence

from msgspec import Struct


class Fault(Struct, frozen=True):
    """What is wrong with one member of the input. param: its path, such as `budgets[0].amount_usd`."""

    param: str
    message: str


class OperationRefused(Exception):
    """The root of the refusals."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NotFound(OperationRefused):
    """The object does not exist."""


class Conflict(OperationRefused):
    """The state of the objects does not allow it: a name is taken, or a team has keys."""


class Outdated(OperationRefused):
    """The object has changed since the caller read it."""


class Invalid(OperationRefused):
    """Members of the input are invalid."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(f"{fault.param}: {fault.message}" for fault in faults))
        self.faults: Sequence[Fault] = faults
