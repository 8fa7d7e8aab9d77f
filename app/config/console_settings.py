"""The settings of the console."""

from pydantic import Field

from app.config.database_settings import DatabaseSettings


class ConsoleSettings(DatabaseSettings):
    """Whether the gateway serves its web console."""

    console: bool = Field(
        True, description="Serve the web console at `/console`. It is loaded when a browser first asks for it."
    )
