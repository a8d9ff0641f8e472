"""``cmscert explain``."""

from __future__ import annotations

from difflib import get_close_matches

import click
from click.shell_completion import CompletionItem

from cmscert.cli.exit_codes import DONE
from cmscert.cli.explaining import drawn, entries
from cmscert.cli.options import OUTPUT, talks
from cmscert.cli.output import Output


def _begun(_context: click.Context, _option: click.Parameter, begun: str) -> list[CompletionItem]:
    known = dict.fromkeys(entry.name for entry in entries())
    return [CompletionItem(name) for name in known if name.startswith(begun)]


@click.command("explain", short_help="What a guard, reason, notice or exit code means.")
@click.argument("name", required=False, shell_complete=_begun)
@talks(OUTPUT)
def command(output: Output, name: str | None) -> int:
    """Say what a guard, reason, notice or exit code means, and what to do; without NAME, list them. Offline."""
    known = entries()
    if name is None:
        output.result("".join(f"{entry.kind:<10}{entry.name}\n" for entry in known))
        return DONE
    found = [entry for entry in known if entry.name == name.lower()]
    if not found:
        near = get_close_matches(name.lower(), [entry.name for entry in known], n=1)
        more = f"did you mean {near[0]}?" if near else "cmscert explain lists all there are"
        raise click.UsageError(f"there is no guard, reason, notice or exit code {name!r}: {more}")
    output.result("\n".join(drawn(entry, output.result_width) for entry in found))
    return DONE
