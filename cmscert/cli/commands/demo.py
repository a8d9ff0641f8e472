"""``cmscert demo``: the whole story in one command, every part of it a command that a person can type."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cmscert.cli.exit_codes import BUG, CHANGES, DONE
from cmscert.cli.program import program
from cmscert.errors import LabError

if TYPE_CHECKING:
    import subprocess

NAME = "cluster.yaml"
PATIENCE = 30.0


@click.command("demo", short_help="The whole story on simulated servers, in a minute.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where the lab keeps its files (a new temporary folder).",
)
def command(folder: Path | None) -> int:
    """Simulated servers with real faults: plan, apply, verify, plan again."""
    import tempfile

    place = folder or Path(tempfile.mkdtemp(prefix="cmscert-demo-"))
    place.mkdir(parents=True, exist_ok=True)
    source = place / "inventory" / NAME
    source.parent.mkdir(exist_ok=True)
    source.write_text(demo_inventory(), encoding="utf-8")
    with laboratory(source, place / "lab"):
        inventory = place / "lab" / NAME
        right = all(_part(words, expected, about) for about, words, expected in story(inventory))
    if not right:
        click.echo("\nThe demo did not go as it should.", err=True)
        return BUG
    for line in ending(source, place):
        click.echo(line)
    return DONE


def demo_inventory() -> str:
    """Return the inventory of the demo: packed into a wheel, or of the checkout."""
    from importlib import resources

    packed = resources.files("cmscert") / "cli" / NAME
    if packed.is_file():
        return packed.read_text(encoding="utf-8")
    checkout = Path(__file__).parents[3] / "inventories" / NAME
    try:
        return checkout.read_text(encoding="utf-8")
    except OSError as error:
        raise LabError(f"{NAME} is not where it should be", hint="install cmscert anew") from error


def story(inventory: Path) -> Iterator[tuple[str, list[str], int]]:
    """Tell the parts: what it is about, what is typed, and the exit code that is right."""
    name = str(inventory)
    yield "Check the inventory and its material, offline", ["validate", name], DONE
    yield "Read the servers, and say what differs", ["plan", name, "--detailed-exitcode"], CHANGES
    yield "Put it right, and prove it", ["apply", name, "--yes", "--allow", "database-rebuild"], DONE
    yield "What every service serves now, over TLS", ["status", name], DONE
    yield "Nothing is left to do", ["plan", name, "--detailed-exitcode"], DONE


def ending(source: Path, place: Path) -> list[str]:
    """Say what to type next."""
    return [
        "",
        "That is the whole story. To play with it, start the lab in this terminal:",
        f"  {program()} lab up {source} --folder {place / 'lab'}",
        "and in another one:",
        "  export CMS_PASSWORD=lab",
        f"  {program()} plan {place / 'lab' / NAME}",
        f"  {program()} plan {place / 'lab' / NAME} --save p.json -v",
        f"  {program()} apply {place / 'lab' / NAME} --allow database-rebuild --plan p.json",
    ]


def _part(words: list[str], expected: int, about: str) -> bool:
    import subprocess

    click.secho(f"\n# {about}", bold=True)
    click.secho(f"$ cmscert {' '.join(words)}", fg="cyan")
    sys.stdout.flush()
    done = subprocess.run(_command(words), env=_environment(), check=False)  # noqa: S603 - our own program
    if done.returncode != expected:
        click.echo(f"exit code {done.returncode}, expected {expected}", err=True)
    return done.returncode == expected


@contextmanager
def laboratory(source: Path, folder: Path) -> Iterator[None]:
    """Run the lab beside the demo, from its first word that it is ready to the end of the block."""
    import subprocess

    words = ["lab", "up", str(source), "--folder", str(folder), "--base-port", "0"]
    click.secho(f"$ cmscert {' '.join(words)}", fg="cyan")
    with subprocess.Popen(_command(words), env=_environment(), stdout=subprocess.PIPE, text=True) as lab:  # noqa: S603 - our own program
        try:
            _until_ready(lab)
            yield
        finally:
            lab.terminate()
            lab.wait(PATIENCE)


def _until_ready(lab: subprocess.Popen[str]) -> None:
    from cmscert.cli.laboratory import READY

    assert lab.stdout is not None  # noqa: S101 - opened with a pipe
    for line in lab.stdout:
        click.echo(line.rstrip("\n"))
        if line.startswith(READY):
            return
    raise LabError(f"the lab ended with exit code {lab.wait()}", hint="start it by itself: cmscert lab up")


def _command(words: list[str]) -> list[str]:
    return [sys.executable, "-m", "cmscert", *words]


def _environment() -> dict[str, str]:
    return {**os.environ, "CMS_PASSWORD": "lab", "PYTHONUNBUFFERED": "1"}
