"""``cmscert explain``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cmscert.cli.exit_codes import DONE
from cmscert.cli.options import OUTPUT, talks
from cmscert.cli.output import Output

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def _begun(_context: click.Context, _option: click.Parameter, begun: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    from cmscert.cli.explaining import entries

    known = dict.fromkeys(entry.name for entry in entries())
    return [CompletionItem(name) for name in known if name.startswith(begun)]


@click.command("explain", short_help="What a guard, reason, notice or exit code means.")
@click.argument("name", required=False, shell_complete=_begun)
@talks(OUTPUT)
def command(output: Output, name: str | None) -> int:
    """Say what a guard, reason, notice or exit code means, and what to do; without NAME, list them. Offline."""
    from cmscert.cli.explaining import drawn, entries

    known = entries()
    if name is None:
        output.result("".join(f"{entry.kind:<10}{entry.name}\n" for entry in known))
        return DONE
    found = [entry for entry in known if entry.name == name.lower()]
    if not found:
        from difflib import get_close_matches

        near = get_close_matches(name.lower(), [entry.name for entry in known], n=1)
        more = f"did you mean {near[0]}?" if near else "cmscert explain lists all there are"
        raise click.UsageError(f"there is no guard, reason, notice or exit code {name!r}: {more}")
    output.result("\n".join(drawn(entry, output.result_width) for entry in found))
    return DONE
