"""``status``: every certificate of the fleet: bound, on disk, served."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from cmscert.app.fleet import PARALLEL
from cmscert.app.inventory import Chosen, choose
from cmscert.app.plan import drift_report, planned, recall_if_readable, state_dir_of
from cmscert.app.ports import Ports
from cmscert.app.proofs import proofs_of, traced
from cmscert.app.public_roots import public_roots
from cmscert.errors import NodeError
from cmscert.model.database import DatabaseFiles
from cmscert.model.desired import Due, WantedDatabase, WantedServer
from cmscert.model.names import service_of
from cmscert.model.observed import Binding, ObservedServer
from cmscert.model.origin import Proofs
from cmscert.model.readings import ABSENT, Absent, Known, Reading, Unread
from cmscert.model.results import DatabaseFile, DatabaseStatus, FleetStatus, ServerStatus, SlotStatus
from cmscert.pki.certificate import Certificate
from cmscert.planning.calendar import is_public, rules_ahead
from cmscert.planning.due import chain_of, due_at, end_of

TOLD = frozenset({"foreign-lock", "expired-lock", "unfinished-run", "left-by-run"})
"""Notices of a plan that are about the fleet as it is now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusResult:
    """The status, and the errors of the servers that could not be read."""

    status: FleetStatus
    failures: Mapping[str, NodeError]


async def status(
    inventory: Path,
    ports: Ports,
    *,
    now: datetime,
    select: tuple[str, ...] = (),
    parallel: int = PARALLEL,
    state_dir: Path | None = None,
) -> StatusResult:
    """Read every slot of the services that the inventory names, and compare. Same arguments and errors as ``plan``.

    What runs left is not needed: where it cannot be read, that is said.
    """
    chosen = choose(inventory, now=now, select=select)
    recalled, fault = recall_if_readable(chosen, state_dir)
    found = await planned(replace(chosen, fleet=chosen.desired), ports, recalled, now=now, parallel=parallel)
    proofs = Proofs(fault=fault) if fault else proofs_of(state_dir_of(chosen, state_dir), found.plan.fleet)
    drift = traced(drift_report(chosen, found.plan), chosen.desired, found.observed, proofs)
    seen = fleet_status(chosen, found.observed, now)
    notices = tuple(each for each in found.plan.notices if each.reason in TOLD)
    return StatusResult(
        status=replace(seen, findings=drift.findings, notices=notices, journal=fault), failures=found.failures
    )


def fleet_status(chosen: Chosen, observed: Mapping[str, ObservedServer], now: datetime) -> FleetStatus:
    """Put together what was read of the selected servers."""
    databases = chosen.desired.databases
    judge = Judge(renew_when=chosen.desired.policy.renew_when, roots=public_roots())
    servers = tuple(server_status(server, observed[server.name], databases, judge) for server in chosen.desired.servers)
    return FleetStatus(
        made_at=now,
        fleet=chosen.desired.fleet,
        inventory_sha256=chosen.desired.inventory_sha256,
        select=chosen.select,
        servers=servers,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """By what dates are told. ``roots``: subjects of the public roots."""

    renew_when: Due = field(default_factory=Due)
    roots: frozenset[str] = frozenset()

    def dates(self, leaf: Certificate, pile: tuple[Certificate, ...]) -> tuple[datetime, datetime, tuple[str, ...]]:
        """Return when a certificate is due, when the first of its chain ends, and the rules its successors meet."""
        chain = chain_of(leaf, pile)
        due = due_at(chain, self.renew_when)
        return due, end_of(chain), rules_ahead(leaf, due) if is_public(chain, self.roots) else ()


def server_status(
    wanted: WantedServer,
    observed: ObservedServer,
    databases: tuple[WantedDatabase, ...] = (),
    judge: Judge | None = None,
) -> ServerStatus:
    """Put one server's readings together, slot by slot; ``databases``: those of the inventory."""
    judge = judge or Judge()
    database = next((each for each in databases if wanted.name in each.members), None)
    unread = observed.reached.why if isinstance(observed.reached, Unread) else None
    return ServerStatus(
        server=wanted.name,
        unread=unread,
        release=observed.release,
        clock_skew=observed.clock_skew,
        password_expires=observed.password_expires,
        slots=tuple(_slot(name, wanted, observed, judge) for name in _slots(wanted, observed)),
        database=None if database is None else _database(database, wanted.name, observed, judge),
    )


def _database(wanted: WantedDatabase, server: str, observed: ObservedServer, judge: Judge) -> DatabaseStatus:
    state = observed.database
    found = _database_files(state.value.files, observed, judge) if isinstance(state, Known) else ()
    files = tuple(replace(file, named=_named(wanted, server, file)) for file in found)
    role: Literal["node", "client"] = "node" if server in wanted.nodes else "client"
    return DatabaseStatus(database=wanted.name, wanted=role, state=state, files=files)


def _named(wanted: WantedDatabase, server: str, file: DatabaseFile) -> str | None:
    """Return the inventory's name of the certificate that a member is to use."""
    if wanted.minting is not None:
        names = {"server": wanted.minting.server_certificate, "client": wanted.minting.client_certificate}
        return names.get(file.use)
    material = {"server": wanted.server, "client": wanted.client}.get(file.use, {}).get(server)
    return None if material is None else material.certificate


def _database_files(files: DatabaseFiles, observed: ObservedServer, judge: Judge) -> Iterator[DatabaseFile]:
    uses: tuple[tuple[Literal["server", "client", "ca"], str | None, str | None], ...] = (
        ("server", files.server_certificate, files.server_key),
        ("client", files.client_certificate, files.client_key),
        ("ca", files.ca, None),
    )
    above = _certificates(files.ca, observed) if files.ca is not None else ABSENT
    pile = above.value if isinstance(above, Known) else ()
    for use, certificate, key in uses:
        if certificate is not None:
            held = _certificates(certificate, observed)
            due = None
            if use != "ca" and isinstance(held, Known) and held.value:
                due = judge.dates(held.value[0], (*held.value[1:], *pile))[0]
            yield DatabaseFile(use=use, certificate=certificate, key=key, on_disk=held, due_at=due)


def _slots(wanted: WantedServer, observed: ObservedServer) -> tuple[str, ...]:
    """Name the slots that are wanted, and after each service's those that its screen shows as bound besides."""
    names: dict[str, None] = {}
    for slot in wanted.slots:
        screen = observed.screen(service_of(slot.slot))
        names[slot.slot] = None
        if isinstance(screen, Known):
            names.update(dict.fromkeys(name for name, bound in screen.value.bindings.items() if bound.files))
    order = list(dict.fromkeys(service_of(name) for name in names))
    return tuple(sorted(names, key=lambda name: order.index(service_of(name))))


def _slot(name: str, wanted: WantedServer, observed: ObservedServer, judge: Judge) -> SlotStatus:
    bound = _bound(name, observed)
    file = None if not isinstance(bound, Known) else bound.value.certificate or bound.value.bundle
    on_disk = _on_disk(file, bound, observed)
    due: datetime | None = None
    ends: datetime | None = None
    ahead: tuple[str, ...] = ()
    if isinstance(bound, Known) and bound.value.certificate is not None and isinstance(on_disk, Known):
        bundle = _on_disk(bound.value.bundle, bound, observed)
        pile = (*on_disk.value[1:], *(bundle.value if isinstance(bundle, Known) else ()))
        if on_disk.value:
            due, ends, ahead = judge.dates(on_disk.value[0], pile)
    return SlotStatus(
        slot=name,
        wanted=wanted.slot(name),
        bound=bound,
        on_disk=on_disk,
        served=observed.served.get(name, ABSENT),
        due_at=due,
        ends=ends,
        ahead=ahead,
    )


def _bound(name: str, observed: ObservedServer) -> Reading[Binding]:
    screen = observed.screen(service_of(name))
    return Known(screen.value.binding(name)) if isinstance(screen, Known) else screen


def _on_disk(file: str | None, bound: Reading[Binding], observed: ObservedServer) -> Reading[tuple[Certificate, ...]]:
    if isinstance(bound, Unread):
        return bound
    if file is None or isinstance(bound, Absent):
        return ABSENT
    return _certificates(file, observed)


def _certificates(file: str, observed: ObservedServer) -> Reading[tuple[Certificate, ...]]:
    content = observed.content(file)
    return Known(content.value.certificates) if isinstance(content, Known) else content
