"""The console script: argv in, exit code out. Commands load when they are called, so that ``--help`` is quick."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module

import click

from cmscert import __version__
from cmscert.cli import failures
from cmscert.cli.exit_codes import DONE, EXIT_CODES
from cmscert.cli.hardening import leave_no_core
from cmscert.cli.output import Output
from cmscert.errors import CmscertError

COMMANDS: dict[str, str] = {
    "validate": "Check an inventory and all material it names, offline.",
    "plan": "Say what differs, why, and the ordered steps; reads only.",
    "apply": "Plan (or take a saved plan), show it, ask, apply, verify.",
    "drift": "Report what is not as wanted, for CI; reads only.",
    "status": "Show every certificate: bound, on disk, served.",
    "renew": "Obtain certificates that are missing or due; disturbs no service.",
    "adopt": "Write an inventory of a live fleet; reads only.",
    "runs": "What was done, when, by whom: the journals.",
    "rollback": "Take a run back: names and services as they were before it.",
    "lock": "Who holds a fleet; give back the lock of a run that died.",
    "explain": "What a guard, reason, notice or exit code means.",
    "schema": "JSON Schemas of inventory, plan and reports.",
    "lab": "Simulated servers on loopback, to rehearse.",
    "demo": "The whole story on simulated servers, in a minute.",
}
"""In the order of their use, with what each says of itself: the first page of help loads none of them."""

SELDOM = 20_000
"""Objects between two looks for garbage. At Python's 700 a start, whose objects all stay, looks in vain time and again,
and the reading of 1,000 servers takes half as long again."""
STARTED = 100_000
"""Objects that a start may make before the first look; a plan of one server makes no more. They are never looked at."""

COMPLETE = "_CMSCERT_COMPLETE"
"""The variable by which shells ask: ``bash_source`` for the script, ``bash_complete`` for words; zsh, fish likewise."""

HELP = """Plan and apply the certificates of Cisco Meeting Server fleets.

An inventory says which certificate every service must hold. cmscert reads what is there, says what differs, and puts
it right in an order that disturbs as few people as possible.
"""


class Commands(click.Group):
    """Finds a command in the module of its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Name the commands in the order of their use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Load a command."""
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = import_module(f"cmscert.cli.commands.{cmd_name}").command
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """List the commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """List the exit codes."""
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in EXIT_CODES.items()])


@click.group(cls=Commands, help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cmscert", message="%(prog)s %(version)s")
def cmscert() -> None:
    """Take the commands."""


def main(argv: Sequence[str] | None = None) -> int:  # noqa: PLR0911 - one way out for each kind of end
    """Run a command line and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    context: click.Context | None = None
    try:
        with cmscert.make_context("cmscert", words) as context:
            code = cmscert.invoke(context)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        return failures.usage(error, output_of(error.ctx if isinstance(error, click.UsageError) else context, words))
    except CmscertError as error:
        return failures.handled(error, output_of(context, words))
    except (KeyboardInterrupt, click.Abort):
        return failures.interrupted(output_of(context, words))
    except BrokenPipeError:
        return _reader_gone()
    except Exception as error:  # noqa: BLE001 - whatever nobody foresaw ends in a report
        return failures.bug(error, output_of(context, words))
    return code if isinstance(code, int) else DONE


def output_of(context: click.Context | None, words: Sequence[str]) -> Output:
    """Return how the command was asked to talk; before its options were read, what the words look like."""
    if context is not None and isinstance(context.find_root().obj, Output):
        chosen: Output = context.find_root().obj
        return chosen
    pairs = zip(words, [*words[1:], ""], strict=True)
    json = "--format=json" in words or ("--format", "json") in pairs
    return Output(form="json" if json else "text")


def _reader_gone() -> int:
    """End quietly when nobody reads on; what Python would still flush goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return DONE


def settle(_phase: str, _facts: Mapping[str, int]) -> None:
    """Take what a start made out of the search for garbage, right before the first; all of it stays anyway."""
    gc.callbacks.remove(settle)
    gc.freeze()
    gc.set_threshold(SELDOM)


def run() -> None:
    """Run the command line of this process, which leaves no core dump; or complete one for a shell."""
    asked = os.environ.get(COMPLETE)
    if asked is not None:
        from click.shell_completion import shell_complete

        sys.exit(shell_complete(cmscert, {}, "cmscert", COMPLETE, asked))
    leave_no_core()
    gc.callbacks.append(settle)
    gc.set_threshold(STARTED)
    code = main()
    gc.freeze()  # what is left ends with the process, and need not be looked through first
    sys.exit(code)
