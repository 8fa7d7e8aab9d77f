"""Options that stand for settings, and the list of all settings in `--help`."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def _sets(variable: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def set_variable(_: click.Context, __: click.Parameter, value: Any) -> None:
        if value is not None:
            os.environ[variable] = str(value)

    return set_variable


def _set_config(_: click.Context, __: click.Parameter, value: str | None) -> None:
    if value is not None:
        os.environ |= {"CONFIG_FILE": value, "CONFIG_TOML": ""}


def address_options(command: F) -> F:
    """Add `--host` and `--port`, which set HOST and PORT."""
    host = click.option("--host", expose_value=False, callback=_sets("HOST"), help="Address to listen on, as HOST.")
    port = click.option(
        "--port", type=click.IntRange(0, 65535), expose_value=False, callback=_sets("PORT"), help="Port, as PORT."
    )
    return host(port(command))


def config_option(command: F) -> F:
    """Add `--config`, which sets CONFIG_FILE and replaces CONFIG_TOML."""
    return click.option(
        "--config",
        type=click.Path(dir_okay=False),
        expose_value=False,
        callback=_set_config,
        help="Configuration file, as CONFIG_FILE.",
    )(command)


def write_settings(formatter: click.HelpFormatter) -> None:
    """Write each setting with its meaning and its default."""
    from app.config.settings import Settings  # only --help needs it here

    with formatter.section("Settings, as environment variables"):
        formatter.write_dl(
            [
                (name.upper(), f"{field.description}{_default(field.default)}")
                for name, field in Settings.model_fields.items()
            ]
        )


def _default(value: object) -> str:
    if isinstance(value, bool):
        return f"  [default: {str(value).lower()}]"
    return f"  [default: {value}]" if isinstance(value, int | float | str) and value != "" else ""
