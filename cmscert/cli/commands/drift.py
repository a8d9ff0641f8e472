"""``cmscert drift``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cmscert.cli.exit_codes import DRIFT, NODE, first_of
from cmscert.cli.options import PARALLEL, reading, talks
from cmscert.cli.output import Output

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cmscert.errors import NodeError
    from cmscert.model.results import DriftReport


@click.command("drift", short_help="Report what is not as wanted, for CI; reads only.")
@click.argument(
    "paths", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="INVENTORY | --merge REPORT..."
)
@click.option("--merge", "merging", is_flag=True, help="Put JSON reports of shards together; connects to nothing.")
@PARALLEL
@talks(*reading("markdown", "html", "junit", "sarif", "prometheus"))
def command(output: Output, paths: tuple[Path, ...], parallel: int, *, merging: bool) -> int:
    """Say what on the servers is not as wanted; for CI and monitoring; reads only.

    With --merge, reports that drift --format json wrote of parts of a fleet become one, in any format.
    """
    if merging:
        report, failures = _merged(output, paths)
    elif len(paths) > 1:
        raise click.UsageError("one INVENTORY at a time: several files are put together with --merge")
    else:
        look = {"prometheus": _metrics, "html": _page}.get(output.form, _report)
        report, failures = look(output, paths[0], parallel)
    output.failures(failures)
    return first_of([NODE] * (not report.complete) + [DRIFT] * bool(report.alarming))


def _report(output: Output, inventory: Path, parallel: int) -> tuple[DriftReport, Mapping[str, NodeError]]:
    import asyncio

    from cmscert.app.clock import utc_now
    from cmscert.app.plan import drift
    from cmscert.app.ports import live_ports

    ports = live_ports(output.note())
    made = asyncio.run(
        drift(
            inventory,
            ports,
            now=utc_now(),
            select=output.select,
            parallel=parallel,
            state_dir=output.state_dir,
        )
    )
    _write(output, made.report)
    return made.report, made.failures


def _write(output: Output, report: DriftReport) -> None:
    match output.form:
        case "json":
            from cmscert.reports.documents import drift_document

            output.document(drift_document(report))
        case "sarif":
            from cmscert.reports.sarif import drift_sarif

            output.document(drift_sarif(report))
        case "junit":
            from cmscert.reports.junit import drift_junit

            output.result(drift_junit(report))
        case "markdown":
            from cmscert.reports.markdown import drift_markdown

            output.result(drift_markdown(report))
        case _:
            from cmscert.reports.fleet_text import drift_text

            output.result(drift_text(report, width=output.result_width, colour=output.result_colour))


def _merged(output: Output, reports: tuple[Path, ...]) -> tuple[DriftReport, Mapping[str, NodeError]]:
    """Write what several processes found as the report of one."""
    if output.select or output.state_dir is not None:
        raise click.UsageError("--select and --state-dir do not go with --merge: the reports say what was looked at")
    from cmscert.app.merge import merge

    made = merge(reports)
    if output.form == "html":
        from cmscert.cli.overview import page

        output.result(page(made.overview, "merged"))
    elif output.form == "prometheus":
        from cmscert.reports.prometheus import metrics

        output.result(metrics(made.status, drift=made.report))
    else:
        _write(output, made.report)
    return made.report, made.failures


def _page(output: Output, inventory: Path, parallel: int) -> tuple[DriftReport, Mapping[str, NodeError]]:
    from cmscert.cli.overview import look, page

    made = look(output, inventory, parallel)
    output.result(page(made.overview, "drift"))
    return made.overview.drift, made.failures


def _metrics(output: Output, inventory: Path, parallel: int) -> tuple[DriftReport, Mapping[str, NodeError]]:
    """Write what is watched: what differs, and every certificate besides, out of one look."""
    from cmscert.app.last_run import last_run
    from cmscert.cli.overview import look
    from cmscert.reports.prometheus import metrics

    made = look(output, inventory, parallel)
    status, report = made.overview.status, made.overview.drift
    last = last_run(inventory, report.fleet, state_dir=output.state_dir)
    output.result(metrics(status, drift=report, last_run=last))
    return report, made.failures
