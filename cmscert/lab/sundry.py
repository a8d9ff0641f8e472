"""Commands that belong to no service: ``version``, ``date``, ``user list``, ``license``, ``ipv4`` and their like."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from cmscert.lab import database_commands
from cmscert.lab.answers import UNKNOWN, Ask, Outcome, usage
from cmscert.lab.spec import NodeSpec
from cmscert.lab.state import Machine

_FEATURES: Final = (  # T-60
    "callbridge",
    "turn",
    "webbridge",
    "customizations",
    "local_license_mode",
    "recording",
    "personal",
    "shared",
)
Handler = Callable[[Machine, Sequence[str], Ask], Awaitable[Outcome]]


async def _version(machine: Machine, _words: Sequence[str], _ask: Ask) -> Outcome:
    release = machine.spec.release
    if machine.spec.switches.version_wording == "labelled":
        return Outcome(lines=[f"{'Software version':<24}: {release}", f"{'Build':<24}: 1"])
    return Outcome(lines=[release])


async def _date(machine: Machine, _words: Sequence[str], _ask: Ask) -> Outcome:
    if not machine.spec.switches.date_command:
        return UNKNOWN
    now = machine.clock()
    return Outcome(lines=[f"System time: {now:%Y-%m-%d %H:%M:%S}", f"Local time:  {now:%Y-%m-%d %H:%M:%S}"])


async def _user(machine: Machine, words: Sequence[str], _ask: Ask) -> Outcome:
    if list(words[1:]) != ["list"]:
        return usage("user", "list")
    spec = machine.spec
    return Outcome(  # [S1]: a header, then user name, role, expiry, status
        lines=[
            f"{'USERNAME':<20}{'ROLE':<12}{'EXPIRY':<16}STATUS",
            f"{spec.user:<20}{'admin':<12}{spec.password_expires:<16}enabled",
        ],
    )


async def _license(machine: Machine, _words: Sequence[str], _ask: Ask) -> Outcome:
    expires = datetime.strptime(machine.spec.licence_expires, "%Y-%b-%d").replace(tzinfo=UTC)
    days = (expires - machine.clock()).days
    shown = machine.spec.licence_expires
    return Outcome(
        lines=[f"Feature: {feature} status: Activated expiry: {shown} ({days} days remain)" for feature in _FEATURES],
    )


async def _ipv4(machine: Machine, words: Sequence[str], _ask: Ask) -> Outcome:
    if list(words[1:]) != ["a"]:
        return usage("ipv4", "a")
    spec = machine.spec
    network, _, _ = spec.address.rpartition(".")
    rows = (
        ("address", spec.address),
        ("default", "true"),
        ("dhcp", "false"),
        ("enabled", "true"),
        ("gateway", spec.gateway),
        ("macaddress", spec.mac),
        ("prefixlen", spec.prefixlen),
    )
    routes = (
        ("0.0.0.0", spec.address, "0.0.0.0", "false"),  # noqa: S104 - a line of the routing table
        *((("0.0.0.0", f"{network}.0", "0.0.0.0", "false"),) * 2),  # noqa: S104 - same
        ("0.0.0.0", f"{network}.255", "0.0.0.0", "false"),  # noqa: S104 - same
        ("0.0.0.0", "0.0.0.0", spec.gateway, "true"),  # noqa: S104 - same
    )
    return Outcome(  # transcript 01
        lines=[
            "IPv4 configuration:",
            *(f"    {label:<16}{value}" for label, value in rows),
            "IPv4 observed values",
            "Addresses:",
            f"{spec.address}/{spec.prefixlen}",
            "Routes:",
            f"    {'source':<16}{'destination':<16}{'gateway':<16}global",
            *(f"    {source:<16}{to:<16}{via:<16}{wide}" for source, to, via, wide in routes),
        ],
    )


async def _hostname(machine: Machine, words: Sequence[str], _ask: Ask) -> Outcome:
    if len(words) == 1:
        return Outcome(lines=[machine.spec.hostname])
    return Outcome(lines=["A reboot is required for the change to take effect"])  # transcript 01


async def _database(machine: Machine, words: Sequence[str], ask: Ask) -> Outcome:
    return await database_commands.run(machine.databases, machine.spec.name, words, ask)


async def _help(machine: Machine, _words: Sequence[str], _ask: Ask) -> Outcome:
    return Outcome(lines=["Available commands:", *(f"  {word}" for word in words_of(machine))])


async def _reboot(machine: Machine, _words: Sequence[str], ask: Ask) -> Outcome:
    if not await _confirmed(ask, "Are you sure you wish to reboot? (Y/n)"):
        return Outcome(lines=["Aborted"])

    return Outcome(lines=["Waiting for server to stop..."], effect=machine.reboot)


async def _upgrade(machine: Machine, _words: Sequence[str], ask: Ask) -> Outcome:
    if not await _confirmed(ask, "Are you sure you wish to upgrade? (Y/n)"):  # [S14] a capital Y
        return Outcome(lines=["Aborted"])
    if "upgrade.img" not in machine.files:
        return Outcome(lines=["FAILURE: upgrade.img not found"])
    return Outcome(lines=["FAILURE: upgrade.img is not signed"])


async def _confirmed(ask: Ask, question: str) -> bool:
    """Ask; only a capital Y is a yes (facts 1.7). The wording of the questions is unknown."""
    return await ask(question) == "Y"


HANDLERS: Final[dict[str, Handler]] = {
    "version": _version,
    "date": _date,
    "user": _user,
    "license": _license,
    "ipv4": _ipv4,
    "hostname": _hostname,
    "database": _database,
    "backup": _database,
    "help": _help,
    "reboot": _reboot,
    "upgrade": _upgrade,
}


def words_of(machine: Machine) -> list[str]:
    """Return the first words of all commands that the node knows."""
    return sorted({*HANDLERS, "pki", *machine.services})


def live_json(spec: NodeSpec) -> bytes:
    """Draw the small part of ``live.json`` that is known (T-02): strings throughout, interface a is eth4."""
    interface = {
        "dhcp": "false",
        "enabled": "true",
        "default": "true",
        "macaddress": spec.mac,
        "address": spec.address,
        "prefixlen": spec.prefixlen,
        "gateway": spec.gateway,
        "routes": {},
    }
    return json.dumps({"ipv4": {"module": {"interfaces": {"eth4": interface}}}}, indent=4).encode() + b"\n"
