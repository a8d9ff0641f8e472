"""Options that commands share, and the frame around every command."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import click

from cmscert.cli.output import Output

P = ParamSpec("P")
Body = Callable[Concatenate[Output, P], int]
Option = Callable[[Callable[..., Any]], Callable[..., Any]]

INVENTORY = click.argument("inventory", type=click.Path(path_type=Path))
PARALLEL = click.option(
    "--parallel", type=click.IntRange(1, 1000), default=32, metavar="N", help="Servers to connect to at a time (32)."
)


def _selectors(_context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse a selector that is none as wrong usage, before anything is read."""
    if values:
        from cmscert.planning.select import parse_selector

        for value in values:
            try:
                parse_selector(value)
            except ValueError as error:
                raise click.BadParameter(str(error), param=option) from error
    return values


def formats(*more: str) -> Option:
    """Return the option for the form of a result; every result has the forms text and json."""
    choice = click.Choice(["text", "json", *more])
    return click.option("--format", "form", type=choice, default="text", help="Form of the result (text).")


FORMAT = formats()
OUTPUT = click.option(
    "--output", "file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Result into a file."
)


def selecting(keys: str) -> Option:
    """Return the option that narrows a command; ``keys``: by what, for its help."""
    told = f"Only {keys}; shell wildcards; repeatable."
    return click.option("--select", multiple=True, callback=_selectors, metavar="KEY=PATTERN", help=told)


SELECT = selecting("server=, role=, service=, certificate= or label.NAME=")
VERBOSE = click.option("-v", "--verbose", is_flag=True, help="Exact commands, and remarks on stderr.")
LOG_FORMAT = click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", help="Form of remarks and progress (text)."
)
NO_COLOR = click.option("--no-color", is_flag=True, help="No colour (as with the variable NO_COLOR).")
STATE_DIR = click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where journals, backups and notes are kept (.cmscert beside the inventory).",
)

QUIET = (FORMAT, OUTPUT, NO_COLOR)
READING = (FORMAT, OUTPUT, SELECT, VERBOSE, LOG_FORMAT, NO_COLOR, STATE_DIR)


def reading(*more: str) -> tuple[Option, ...]:
    """Return the options of a command that reads servers; ``more``: forms of its result besides text and json."""
    return (formats(*more), *READING[1:])


def talks(*options: Option) -> Callable[[Body[P]], Callable[..., int]]:
    """Give a command options about its output, and hand them to it as one value, the first argument."""

    def decorate(body: Body[P]) -> Callable[..., int]:
        names = ("form", "file", "select", "verbose", "log_format", "no_color", "state_dir")

        @wraps(body)
        def command(*args: P.args, **kwargs: P.kwargs) -> int:
            chosen: dict[str, Any] = {name: kwargs.pop(name) for name in names if name in kwargs}
            output = Output(**chosen)
            click.get_current_context().find_root().obj = output
            return body(output, *args, **kwargs)

        framed: Callable[..., int] = command
        for option in reversed(options):
            framed = option(framed)
        return framed

    return decorate
