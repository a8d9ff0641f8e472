"""``status --watch`` on a terminal: the text view, drawn anew in place."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import click

from cmscert.cli.exit_codes import DONE

if TYPE_CHECKING:
    from pathlib import Path

    from cmscert.cli.output import Output
    from cmscert.errors import CmscertError

EVERY = 30.0
"""Seconds, where none are given."""

LEAST, MOST = 1.0, 86_400.0
CLEAR = "\x1b[H\x1b[2J"
FOOT = 2
"""Lines that are kept for the last one, and for the cursor."""


def watching(output: Output, inventory: Path, parallel: int, every: float) -> int:
    """Look until Ctrl-C, which is how this ends well."""
    import asyncio

    from cmscert.app.watch import watch

    if output.form != "text" or output.to_file or not output.out.isatty():
        raise click.UsageError("--watch draws text on a terminal: leave it out for files, pipes and other formats")
    view = View(output, inventory, parallel, every)
    try:
        asyncio.run(watch(view.look, view.show, view.failed, every=every))
    except KeyboardInterrupt:
        output.out.write("\n")
        output.out.flush()
    return DONE


class View:
    """The screen of one watch."""

    def __init__(self, output: Output, inventory: Path, parallel: int, every: float) -> None:
        from cmscert.app.ports import live_ports

        self.output = output
        self.inventory = inventory
        self.parallel = parallel
        self.every = every
        self.ports = live_ports(output.note())

    async def look(self) -> str:
        """Read the fleet and draw it."""
        from cmscert.app.status import status
        from cmscert.reports.fleet_text import status_text

        output = self.output
        made = await status(
            self.inventory,
            self.ports,
            now=self.ports.clock(),
            select=output.select,
            parallel=self.parallel,
            state_dir=output.state_dir,
        )
        return status_text(made.status, width=output.result_width, colour=output.result_colour)

    def failed(self, error: CmscertError) -> str:
        """Draw why there is no look this time."""
        from cmscert.reports.error_text import error_text

        return error_text(error, colour=self.output.result_colour)

    def show(self, text: str) -> None:
        """Put a view on the screen: as much of it as has room, and when it is drawn again."""
        room = max(FOOT, shutil.get_terminal_size().lines - FOOT)
        lines = text.rstrip("\n").split("\n")
        if len(lines) > room:
            more = len(lines) - room + 1
            lines = [*lines[: room - 1], f"… {more} more lines: --select narrows this, without --watch all are shown"]
        foot = f"{self.ports.clock():%H:%M:%S} UTC, again in {self.every:g} s, Ctrl-C ends this"
        clear = "" if os.environ.get("TERM") == "dumb" else CLEAR
        self.output.out.write(clear + "\n".join([*lines, foot]))
        self.output.out.flush()
