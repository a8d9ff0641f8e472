"""What commands share that show a fleet from every side: one look for the whole page."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from cmscert.app.overview import OverviewResult
    from cmscert.cli.output import Output
    from cmscert.model.overview import Overview
    from cmscert.reports.html.fleet import Lead


def look(output: Output, inventory: Path, parallel: int, *, lenient: bool = False) -> OverviewResult:
    """Read a fleet as the options say. Arguments and errors: as ``cmscert.app.overview.overview``."""
    import asyncio

    from cmscert.app.clock import utc_now
    from cmscert.app.overview import overview
    from cmscert.app.ports import live_ports

    return asyncio.run(
        overview(
            inventory,
            live_ports(output.note()),
            now=utc_now(),
            select=output.select,
            parallel=parallel,
            state_dir=output.state_dir,
            lenient=lenient,
        )
    )


def page(overview: Overview, lead: Lead) -> str:
    """Draw the page of a command."""
    from cmscert.mmp.services import SERVICES
    from cmscert.reports.html.fleet import fleet_page

    return fleet_page(overview, lead, SERVICES)
