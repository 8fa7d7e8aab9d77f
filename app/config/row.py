"""The model of a table in the configuration file."""

from pydantic import BaseModel, ConfigDict


class Row(BaseModel):
    """A table, or an entry of a list of tables. It has no other keys than its fields."""

    # most deployments have no file
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
