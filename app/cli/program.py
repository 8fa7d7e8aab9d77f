"""The command `outcrop`, and `python -m app`."""

import contextlib
import errno
import importlib
import os
import platform
import sys
from typing import Any

import click

from app import __version__
from app.cli.options import address_options, config_option, write_settings
from app.process.garbage import uncollected

# a command, or a group of commands, is the `command` of the module of its name, which is imported when it is called
_COMMANDS = {
    "serve": "Serve HTTP until SIGTERM or Ctrl-C. The default.",
    "check": "Try each step of a call to Bedrock, for each name of the configuration.",
    "teams": "List, show, create, change and delete teams.",
    "keys": "List, show, create, change, rotate, revoke and delete keys.",
    "usage": "Sum up requests, tokens and cost.",
    "spend": "Show what is left of budgets.",
    "ledger": "List and export the ledger, verify what is derived from it, delete old entries.",
    "audit": "List changes of teams and keys.",
    "import": "Create teams and keys from LiteLLM, or from API_KEYS.",
    "migrate": "Set up the database of DATABASE_URL, or bring its schema up to date.",
    "models": "List the names that callers can use.",
    "probe": "Ask the gateway on this machine whether it is alive.",
    "token": "Print what a caller without a key sends as its key.",  # nosec B105
    "version": "Print the versions of Outcrop and Python.",
}
# `import` is not a name of a module
_MODULES = {"import": "import_"}
_EXIT_CODES = [("0", "good"), ("1", "a fault was found"), ("2", "wrong options or settings")]


class _Program(click.Group):
    """Imports only the command that is called: a process that serves holds no others."""

    def list_commands(self, _: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            raise click.NoSuchCommand(name, possibilities=_COMMANDS, ctx=context)
        if name in self.commands:
            return super().get_command(context, name)
        return _imported(name)

    def invoke(self, context: click.Context) -> Any:
        try:
            result = super().invoke(context)
            sys.stdout.flush()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            _drop_output()
            raise click.ClickException(
                f"{error.filename or 'the output'} cannot be written: {error.strerror}"
            ) from None
        return result

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def format_epilog(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Exit codes"):
            formatter.write_dl(_EXIT_CODES)
        write_settings(formatter)


def _drop_output() -> None:
    """Let Python drop what it could not write: at its exit it would try again, and end with another code."""
    with contextlib.suppress(OSError):  # an output without a descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _imported(name: str) -> click.Command:
    with uncollected():
        command: click.Command = importlib.import_module(f"app.cli.{_MODULES.get(name, name)}").command
    return command


@click.group(cls=_Program, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@address_options
@config_option
@click.version_option(__version__, prog_name="outcrop", message="%(prog)s %(version)s")
@click.pass_context
def program(context: click.Context) -> None:
    """An HTTP gateway in front of Amazon Bedrock."""
    if context.invoked_subcommand is None:
        context.invoke(_imported("serve"))


@program.command()
def version() -> None:
    """Print the versions of Outcrop and Python."""
    click.echo(f"outcrop {__version__}, Python {platform.python_version()}")


@program.command()
@address_options
def probe() -> None:
    """Ask the gateway on this machine whether it is alive: exit code 0, or 1."""
    from app.cli.probe import probe as is_alive

    raise SystemExit(is_alive())
