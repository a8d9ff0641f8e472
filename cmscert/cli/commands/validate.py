"""``cmscert validate``."""

from __future__ import annotations

from pathlib import Path

import click

from cmscert.cli.exit_codes import DONE
from cmscert.cli.options import INVENTORY, QUIET, talks
from cmscert.cli.output import Output


@click.command("validate")
@INVENTORY
@talks(*QUIET)
def command(output: Output, inventory: Path) -> int:
    """Check an inventory and all material it names, offline."""
    from cmscert.app.clock import utc_now
    from cmscert.app.validate import validate

    validation = validate(inventory, now=utc_now())
    if output.form == "json":
        from cmscert.reports.documents import validate_document

        output.document(validate_document(validation))
    else:
        from cmscert.reports.validate_text import validate_text

        output.result(validate_text(validation, width=output.result_width, colour=output.result_colour))
    return DONE
