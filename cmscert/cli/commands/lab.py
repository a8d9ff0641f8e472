"""``cmscert lab``: simulated servers on loopback, and throw-away material."""

from __future__ import annotations

from pathlib import Path

import click

from cmscert.cli.exit_codes import DONE

SCENARIOS = ("faults", "wanted", "aged", "new-ca", "fresh")
INVENTORY = click.argument("inventory", type=click.Path(path_type=Path))


@click.group("lab", short_help="Simulated servers on loopback, to rehearse.")
def command() -> None:
    """Simulated servers on loopback, to rehearse without a real one."""


@command.command("up")
@INVENTORY
@click.option(
    "--scenario",
    type=click.Choice(SCENARIOS),
    default="faults",
    help="How the servers are at the start (faults: what goes wrong in the field).",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where the lab keeps its files (.cmscert-lab/FLEET).",
)
@click.option(
    "--base-port",
    type=click.IntRange(0, 65000),
    default=22000,
    metavar="PORT",
    help="First port; each server takes a hundred (22000); 0 takes any that are free.",
)
def up(inventory: Path, scenario: str, folder: Path | None, base_port: int) -> int:
    """Start the servers of an inventory on loopback, until Ctrl-C."""
    import asyncio

    from cmscert.cli.interrupts import until_signalled
    from cmscert.cli.laboratory import prepare

    lab = prepare(inventory, scenario=scenario, folder=folder, base_port=base_port)
    asyncio.run(until_signalled(lambda stopped: lab.run(stopped, click.echo)))
    return DONE


@command.command("pki")
@INVENTORY
@click.option("--fresh", is_flag=True, help="Make everything anew, also what still fits.")
def pki(inventory: Path, *, fresh: bool) -> int:
    """Make throw-away certificates and keys for an inventory, beside it."""
    from cmscert.cli.laboratory import make_pki

    for path in make_pki(inventory, fresh=fresh):
        click.echo(path)
    return DONE
