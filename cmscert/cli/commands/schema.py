"""``cmscert schema``."""

from __future__ import annotations

from pathlib import Path

import click

from cmscert.cli.exit_codes import DONE
from cmscert.cli.options import OUTPUT, talks
from cmscert.cli.output import Output, write_file

NAMES = ("inventory", "plan", "run", "runs", "drift", "status", "validate", "renew", "adopt", "store", "locks", "error")


@click.command("schema", short_help="JSON Schemas of inventory, plan and reports.")
@click.argument("name", required=False, type=click.Choice(NAMES))
@click.option(
    "--write",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="Write every schema into a folder, as NAME.schema.json.",
)
@talks(OUTPUT)
def command(output: Output, name: str | None, write: Path | None) -> int:
    """Show or write the JSON Schemas of inventory, plan and reports."""
    texts = schema_texts()
    if write is not None:
        for each, text in texts.items():
            write_file(write / f"{each}.schema.json", text)
    elif name is not None:
        output.result(texts[name])
    else:
        output.result("".join(f"{each}\n" for each in texts))
    return DONE


def schema_texts() -> dict[str, str]:
    """Return every schema as the text of its file, by name."""
    import json

    from cmscert.inventory.schema import inventory_schema
    from cmscert.reports.schemas import report_schemas

    schemas = {"inventory": inventory_schema(), **report_schemas()}
    return {name: json.dumps(schemas[name], indent=2) + "\n" for name in NAMES}
