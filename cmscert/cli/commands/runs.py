"""``cmscert runs``: the journals of what was done."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from cmscert.cli.exit_codes import DONE
from cmscert.cli.options import FORMAT, NO_COLOR, OUTPUT, formats, selecting, talks
from cmscert.cli.output import Output

LIMIT = 20
SELECT = selecting("server= or service=")
STATE_DIR = click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where the journals are (.cmscert beside the inventory, or here).",
)
INVENTORY = click.option(
    "--inventory",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The inventory whose runs are meant; it is not read.",
)
PLACED = (INVENTORY, STATE_DIR, FORMAT, OUTPUT, NO_COLOR)
SHOWN = (INVENTORY, STATE_DIR, formats("html"), OUTPUT, NO_COLOR)


@click.group("runs", invoke_without_command=True, short_help="What was done, when, by whom: the journals.")
@click.option("--fleet", metavar="NAME", help="Only runs on this fleet.")
@click.option(
    "--limit",
    type=click.IntRange(1, 1_000_000),
    default=LIMIT,
    metavar="N",
    help=f"So many of the newest ({LIMIT}).",
)
@talks(SELECT, *PLACED)
def command(output: Output, inventory: Path | None, fleet: str | None, limit: int) -> int:
    """List the runs of a state directory, newest first. Connects to nothing."""
    context = click.get_current_context()
    if context.invoked_subcommand is not None:
        given = {name: value for name, value in context.params.items() if _typed(context, name)}
        context.default_map = {context.invoked_subcommand: given}
        return DONE
    from cmscert.app.runs import runs

    state_dir = _state_dir(output, inventory)
    made = runs(state_dir, fleet=fleet, limit=limit, select=_select(output))
    if output.form == "json":
        from cmscert.reports.runs_document import runs_document

        output.document(runs_document(made.runs, more=made.more, fleet=fleet, live=made.live))
    else:
        from cmscert.reports.runs_text import runs_text

        output.result(
            runs_text(
                made.runs,
                more=made.more,
                live=made.live,
                width=output.result_width,
                colour=output.result_colour,
            )
        )
    return DONE


@command.command("show", short_help="Show one run: each step, what was typed and answered.")
@click.argument("run", metavar="ID")
@click.option("-v", "--verbose", is_flag=True, help="Every moment, and questions that change nothing too.")
@talks(SELECT, *SHOWN)
def show(output: Output, run: str, inventory: Path | None) -> int:
    """Show one run: who and when, each step with what was typed and answered, the result, what was left.

    ID may be the beginning of a run's id, as long as only one run begins so, or last.
    """
    from cmscert.app.runs import run_detail

    made = run_detail(_state_dir(output, inventory), run, inventory=inventory, select=_select(output))
    if output.form == "html":
        from cmscert.app.runs import seen_before
        from cmscert.reports.html.run import run_page

        before = seen_before(made.record)
        if output.select and before is not None and made.plan is not None:
            before = {name: before[name] for name in {step.server for step in made.plan.steps} & before.keys()}
        output.result(run_page(made.record, made.plan, before=before, files=made.files, live=made.live))
    elif output.form == "json":
        from cmscert.reports.runs_document import run_record_document

        output.document(run_record_document(made.record, made.plan, files=made.files, live=made.live))
    else:
        from cmscert.reports.runs_text import run_record_text

        output.result(
            run_record_text(
                made.record,
                made.plan,
                files=made.files,
                live=made.live,
                select=output.select,
                width=output.result_width,
                colour=output.result_colour,
                verbose=output.verbose,
            )
        )
    return DONE


def _select(output: Output) -> tuple[str, ...]:
    """Return the selectors. Journals know servers and services; what else there is to select by, inventories know."""
    for selector in output.select:
        if selector.partition("=")[0] not in {"server", "service"}:
            raise click.UsageError(f"--select {selector}: journals are searched by server= and service= only")
    return output.select


def _typed(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _state_dir(output: Output, inventory: Path | None) -> Path:
    from cmscert.app.runs import state_dir_for

    found = state_dir_for(output.state_dir, inventory, working=Path())
    if found is None:
        raise click.UsageError(
            "there is no .cmscert in this folder: say where the runs are with --inventory FILE or --state-dir DIR"
        )
    return found
