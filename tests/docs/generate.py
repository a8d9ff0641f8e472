"""Writes the pages of docs/reference that come from the code: ``make reference``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from cmscert.cli.main import cmscert
from cmscert.mmp.services import SERVICES
from cmscert.model.desired import Policy
from cmscert.model.names import Release
from cmscert.model.services import IdentitySlot, Service, TrustSlot

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
WRITTEN = "<!-- Written by `make reference` from the code. Do not edit. -->\n"
OLDEST = Release(1, 0)
WIDTH = 78  # what click makes of a terminal of 80 columns

COMMANDS = f"""{WRITTEN}
# Commands

What `--help` says, for every command. What the codes mean: [exit codes](exit-codes.md).
"""

SERVICES_HEAD = f"""{WRITTEN}
# Services and slots

A slot is a place that holds a certificate or a trust list. One row is one slot, for a range of releases.
`cmscert` reads the release from the server, and refuses what that release does not have.

- **files**: what the command takes. The bundle of `key, certificate, bundle` is left out where none is wanted.
- **full chain**: the certificate file holds leaf, intermediates and root. Other slots get that only where the
  inventory names no `bundle`.
- **pin**: what a trust file must hold. *CA*: a CA that the peer's chain leads to. *leaf*: the peer's own certificate.
  *(inferred)*: no document says so.
- **accepts**: whose certificates are checked against this file. The order of a plan follows from it: trust first.
- **EKU**: what a certificate in this slot should be good for at least. It is inferred from what the slot does, so a
  missing one is a warning.
- **port**: where the served certificate is looked at when the status screen names no port and the inventory gives
  none. `-`: not at all then.

What people notice and the seconds are estimates, made without a server at hand. `policy.seconds` in the inventory puts
your own in their place. `policy.one_at_a_time` says which services are changed on one server at a time; shown here is
what holds when it is left out.
"""


def pages() -> dict[str, str]:
    """Return every page that comes from the code, by file name."""
    return {"commands.md": _commands(), "services.md": _services()}


def _commands() -> str:
    parts = [COMMANDS]
    for words, command in _walk(("cmscert",), cmscert):
        with click.Context(
            command, info_name=" ".join(words), terminal_width=WIDTH, help_option_names=["-h", "--help"]
        ) as context:
            text = command.get_help(context).rstrip()
        parts.append(f"\n## {' '.join(words)}\n\n```text\n{text}\n```\n")
    return "".join(parts)


def _walk(words: tuple[str, ...], command: click.Command) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield words, command
    if isinstance(command, click.Group):
        with click.Context(command) as context:
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner is not None
                yield from _walk((*words, name), inner)


def _services() -> str:
    parts = [SERVICES_HEAD]
    for name in dict.fromkeys(row.name for row in SERVICES):
        parts.append(f"\n## {name}\n")
        parts.extend(_service(row) for row in SERVICES if row.name == name)
    return "".join(parts)


def _service(row: Service) -> str:
    alone = ", one server at a time" if (row.restart_of or row.name) in Policy().one_at_a_time else ""
    lines = [
        f"\n**{_releases(row)}.** {_way(row)}{alone}. Read with {_quoted([row.status, *row.more_status])}.",
        f"{row.notices[:1].upper()}{row.notices[1:]}, about {row.seconds} s.",
        "",
        "| slot | command | files | pin | accepts | EKU | port |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [f"| `{slot.name}` | `{' '.join(slot.bind)}` | {_cells(slot)} |" for slot in row.slots]
    return "\n".join(lines) + "\n"


def _releases(row: Service) -> str:
    if row.until is None:
        return "All releases" if row.since <= OLDEST else f"From release {row.since} on"
    return f"Before release {row.until}" if row.since <= OLDEST else f"From release {row.since}, before {row.until}"


def _way(row: Service) -> str:
    if row.restart_of is not None:
        return f"Applied by `{row.restart_of} restart`"
    if row.via == "restart":
        return f"Applied by `{row.name} restart`"
    return f"Applied by `{row.name} disable`, `{row.name} enable`"


def _cells(slot: IdentitySlot | TrustSlot) -> str:
    accepts = ", ".join(f"`{name}`" for name in slot.accepts) or "-"
    if isinstance(slot, TrustSlot):
        return f"bundle | {_pin(slot.pin, slot.pin_grade)} | {accepts} | - | -"
    files = "key, full chain" if slot.full_chain else "key, certificate"
    if slot.third is not None:
        files += f", {slot.third}"
    pin = _pin(slot.pin, slot.pin_grade) if slot.third == "trust" else "-"
    port = "not probed" if not slot.listens else str(slot.default_port or "-")
    return f"{files} | {pin} | {accepts} | {', '.join(slot.eku) or '-'} | {port}"


def _pin(pin: str, grade: str) -> str:
    return ("leaf" if pin == "leaf" else "CA") + (" (inferred)" if grade == "inferred" else "")


def _quoted(commands: list[tuple[str, ...]]) -> str:
    return " and ".join(f"`{' '.join(words)}`" for words in commands)


if __name__ == "__main__":
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"docs/reference/{name}\n")
