"""Is it as predicted? A fresh reading of exactly what a step touches, compared with what must be there (law 6)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cmscert.apply.sending import digest
from cmscert.errors import NodeError, StoreRefused
from cmscert.model.desired import WantedServer
from cmscert.model.names import service_of
from cmscert.model.observed import Binding, ObservedServer, ServiceState, same_files
from cmscert.model.plan import Action, Rebind, RemoveFiles, Restart
from cmscert.model.readings import Absent, Known, Reading, Unread
from cmscert.model.services import Service
from cmscert.observe.asking import why
from cmscert.observe.files import is_key
from cmscert.observe.services import Chain, read_served, read_state, tags, worst
from cmscert.transport.session import Probe, WriteSession

FIRST_WAIT = 0.05
LONGEST_WAIT = 3.0
"""Seconds between two looks at a service that is coming up: the first and the longest."""

WAITS_SHARE = 1 / 16
"""What a wait is of the time spent so far: readiness is seen soon after it came, whether that took a second or ten."""

SCREEN_LAGS = 3.0
"""Seconds that a screen gets to show what was bound: one that is read in between may show half of it."""

SCREEN_KEEPS = 2.0
"""Seconds for which a screen that is as it must be is not asked again while its service's ports come up."""

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One server and the ways to look at it.

    ``answering``: slots whose TLS port answered before the run, or before an earlier one that left their service.
    """

    session: WriteSession
    wanted: WantedServer
    rows: Mapping[str, Service]
    probe: Probe
    answering: frozenset[str]

    async def state(self, service: str) -> Reading[ServiceState]:
        """Read a service's screens afresh."""
        return await read_state(self.session, self.rows[service], tag=tags(self.wanted).get(service))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """What is not as it must be.

    ``final``: waiting does not mend it. ``within``: seconds in which waiting may mend it; None for all there is.
    ``unbound``: a slot does not hold what was bound to it.
    """

    why: str
    final: bool = False
    within: float | None = None
    unbound: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceMust:
    """How a service must read. ``leaves``: by probed slot, SHA-256 of the right leaves; empty when any answer will do.

    ``untold``: slots that its screen never showed. ``rotates``: slots that show another leaf once it is loaded.
    ``back``: this is a way back, which has to be proven whole. ``bare``: nothing is bound that the service could start
    on, so that its start may be refused (``refused``): then its switch may read off, as it did not run before either.
    ``silent``: by slot whose port did not answer before, SHA-256 of the leaves that it may show nevertheless.
    """

    row: Service
    bindings: tuple[Binding, ...]
    enabled: bool | None
    untold: frozenset[str]
    leaves: Mapping[str, frozenset[str]]
    rotates: bool
    started: bool
    back: bool = False
    bare: bool = False
    refused: bool = False
    silent: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Must:
    """How a node must read after an action. ``gone``: names that are no longer in the store."""

    service: ServiceMust | None = None
    gone: tuple[str, ...] = ()
    unknown: str | None = None


class Kept:
    """A screen that was read after the last line of an action, and is as it must be; without a clock it is not kept."""

    def __init__(self, clock: Callable[[], datetime] | None = None) -> None:
        self._clock = clock
        self._state: Reading[ServiceState] | None = None
        self._at: datetime | None = None

    def keep(self, state: Reading[ServiceState]) -> None:
        """Keep a screen that was read just now."""
        self._state, self._at = state, self._clock() if self._clock is not None else None

    def good(self) -> Reading[ServiceState] | None:
        """Return it, as long as it need not be asked again."""
        if self._clock is None or self._at is None:
            return None
        return self._state if 0 <= (self._clock() - self._at).total_seconds() < SCREEN_KEEPS else None


def after(action: Action, before: ObservedServer, predicted: ObservedServer, node: Node, *, back: bool = False) -> Must:
    """Say how a node must read after an action, or after a way back (``back``).

    On the way back, what was served before is right, and so is the leaf of the file that is bound again: a service that
    had not loaded its own file loads it now.
    """
    if isinstance(action, RemoveFiles):
        return Must(gone=action.files)
    if not isinstance(action, Rebind | Restart):
        return Must()
    screen = predicted.screen(action.service)
    if not isinstance(screen, Known):
        return Must(unknown=f"the screen of {action.service} was not read before")
    stopped = isinstance(action, Rebind) and action.stopped
    unset = frozenset() if back or stopped else frozenset(_unset(action, before))
    leaves = {} if stopped else dict(_leaves(node, action.service, before, predicted, back=back))
    leaves = {slot: right for slot, right in leaves.items() if slot not in unset}
    silent = dict(_silent(before, predicted, action.service)) if back else dict.fromkeys(unset, frozenset[str]())
    silent = {slot: right for slot, right in silent.items() if slot not in leaves}  # an earlier run silenced those
    rotates = any(right and not right & _served(before, slot) for slot, right in leaves.items())
    only = {binding.slot for binding in action.bindings} if isinstance(action, Rebind) else set()
    bindings = tuple(screen.value.binding(slot) for slot in sorted(only if back else {*screen.value.bindings, *only}))
    row = node.rows[action.service]
    untold = frozenset(screen.value.untold)
    return Must(
        service=ServiceMust(
            row=row,
            bindings=bindings,
            enabled=screen.value.enabled,
            untold=untold,
            leaves=leaves,
            rotates=rotates,
            started=not stopped,
            back=back,
            bare=(back or bool(unset)) and not any(_identities(predicted, row.restart_of or row.name)),
            silent=silent,
        )
    )


def _unset(action: Rebind | Restart, before: ObservedServer) -> Iterator[str]:
    """Yield the slots that hold a certificate and shall hold none: a first set-up is taken back."""
    screen = before.screen(action.service)
    if isinstance(action, Rebind) and isinstance(screen, Known):
        for binding in action.bindings:
            if binding.certificate is None and screen.value.binding(binding.slot).certificate is not None:
                yield binding.slot


def _identities(observed: ObservedServer, service: str) -> Iterator[Binding]:
    """Yield what a service can start on."""
    screen = observed.screen(service)
    for binding in screen.value.bindings.values() if isinstance(screen, Known) else ():
        if binding.certificate is not None:
            yield binding


def _silent(before: ObservedServer, restored: ObservedServer, service: str) -> Iterator[tuple[str, frozenset[str]]]:
    for slot, served in before.served.items():
        if service_of(slot) == service and isinstance(served, Absent):
            yield slot, _bound(restored, slot)


def _leaves(
    node: Node, service: str, before: ObservedServer, predicted: ObservedServer, *, back: bool
) -> Iterator[tuple[str, frozenset[str]]]:
    restarted = node.rows[service].restart_of
    for slot in sorted(node.answering):
        own = service_of(slot) == service
        if not own and service_of(slot) != restarted:
            continue
        right = _served(predicted, slot)
        if not own or not right:
            right |= _bound(predicted, slot)
        yield slot, right | _served(before, slot) if back else right


def _served(observed: ObservedServer, slot: str) -> frozenset[str]:
    served = observed.served.get(slot)
    return frozenset(leaf.sha256 for leaf in served.value[:1]) if isinstance(served, Known) else frozenset()


def _bound(observed: ObservedServer, slot: str) -> frozenset[str]:
    screen = observed.screen(service_of(slot))
    name = screen.value.binding(slot).certificate if isinstance(screen, Known) else None
    content = observed.content(name or "")
    return (
        frozenset(leaf.sha256 for leaf in content.value.certificates[:1]) if isinstance(content, Known) else frozenset()
    )


async def look(
    node: Node,
    must: Must,
    put: Mapping[str, str],
    notes: list[str],
    *,
    observed: ObservedServer,
    unsure: bool = False,
    kept: Kept | None = None,
) -> Shortfall | None:
    """Read afresh and compare; None when all is as it must be.

    ``put``: SHA-256 by name of what was uploaded. ``unsure``: the answer to the last line was lost, so that equal
    bindings alone do not prove that the service was started again. ``notes`` collects what cannot be read and is no
    fault. ``kept``: a screen that earlier looks at the same action found right.
    """
    if must.unknown is not None:
        return Shortfall(why=must.unknown, final=True)
    try:
        for name, sha256 in put.items():
            short = await _stored(node.session, name, sha256, notes)
            if short is not None:
                return short
        if must.gone:
            still = sorted(set(must.gone).intersection(await node.session.list_files()))
            return Shortfall(why=f"{', '.join(still)} is still in the store", final=True) if still else None
    except NodeError as error:
        return Shortfall(why=why(error))
    return await _service(node, must.service, notes, observed, kept or Kept(), unsure=unsure) if must.service else None


async def _stored(session: WriteSession, name: str, sha256: str, notes: list[str]) -> Shortfall | None:
    try:
        kept = await session.read_file(name)
    except StoreRefused:
        # That a key can be read back is [INF]; where it cannot, ``pki match`` proves it in the next step.
        if not is_key(name) or name not in await session.list_files():
            raise
        notes.append(f"{name} cannot be read back")
        return None
    if kept is None:
        return Shortfall(why=f"{name} is not in the store after the upload", final=True)
    if digest(kept) != sha256:
        return Shortfall(why=f"{name} holds other bytes than were uploaded", final=True)
    return None


def _screen(must: ServiceMust, state: Reading[ServiceState], notes: list[str]) -> Shortfall | None:
    if not isinstance(state, Known):
        reason = state.why if isinstance(state, Unread) else f"the server does not know {must.row.name} any more"
        return Shortfall(why=reason)
    for binding in must.bindings:
        found = state.value.binding(binding.slot)
        if binding.slot in must.untold and binding.slot in state.value.untold:
            if must.back:
                return Shortfall(why=f"the screen does not show {binding.slot}: nothing proves it", final=True)
            notes.append(f"the screen does not show {binding.slot}")
        elif not same_files(found, binding):
            why = f"{binding.slot} is bound to {_files(found)}, not to {_files(binding)}"
            return Shortfall(why=why, within=SCREEN_LAGS, unbound=True)
    if state.value.enabled != must.enabled and not must.refused:
        return Shortfall(why=f"{must.row.name} is {_running(state.value)}")
    return None


async def _service(
    node: Node, must: ServiceMust, notes: list[str], observed: ObservedServer, kept: Kept, *, unsure: bool
) -> Shortfall | None:
    state = kept.good()
    if state is None:
        state = await node.state(must.row.name)
        short = _screen(must, state, notes)
        if short is not None:
            return short
        kept.keep(state)
    short = await _ports(node, must, state, observed)
    if short is None and unsure and must.started and not must.rotates and not _proves_start(must):
        return Shortfall(why=f"nothing tells whether {must.row.name} was started again", final=True)
    return short


def _proves_start(must: ServiceMust) -> bool:
    """A service that was stopped by an answered line and runs now was started by the last one."""
    return must.row.via == "cycle" and must.enabled is True


async def _ports(
    node: Node, must: ServiceMust, state: Reading[ServiceState], observed: ObservedServer
) -> Shortfall | None:
    unseen = dict(must.leaves)
    looked_at = {*must.leaves, *must.silent}
    for service in dict.fromkeys(service_of(slot) for slot in sorted(looked_at)):
        screen = state if service == must.row.name else observed.screen(service)
        shown = await read_served(node.rows[service], screen, node.wanted, probe=node.probe, slots=looked_at)
        for slot, readings in shown.items():
            silent = slot in must.silent
            right = must.silent[slot] if silent else unseen.pop(slot)
            reading = worst(readings, right)
            short = _as_silent(slot, reading, right) if silent else _served_right(slot, reading, right)
            if short is not None:
                return short
    gone = next(iter(unseen), None)
    return None if gone is None else Shortfall(why=f"the port of {gone} answered before and is not shown any more")


def _as_silent(slot: str, reading: Reading[Chain], right: frozenset[str]) -> Shortfall | None:
    """A port that did not answer before is as before when it does not, or shows what is bound there again."""
    if not isinstance(reading, Known) or (reading.value and reading.value[0].sha256 in right):
        return None
    return Shortfall(why=f"the port of {slot} answers, and did not before")


def _served_right(slot: str, reading: Reading[Chain], right: frozenset[str]) -> Shortfall | None:
    match reading:
        case Known(value=chain) if chain and (not right or chain[0].sha256 in right):
            return None
        case Known(value=chain):
            leaf = f"the certificate of {chain[0].subject} with serial {chain[0].serial:x}" if chain else "nothing"
            return Shortfall(why=f"the port of {slot} shows {leaf}, not what is bound")
        case Absent():
            return Shortfall(why=f"the port of {slot} answered before and does not now")
        case Unread():
            return Shortfall(why=f"the port of {slot}: {reading.why}")


def _files(binding: Binding) -> str:
    return ", ".join(binding.files) or "nothing"


def _running(state: ServiceState) -> str:
    return {True: "running", False: "not running", None: "shown without its state"}[state.enabled]


async def until_right(
    check: Callable[[], Awaitable[Shortfall | None]],
    *,
    patience: float,
    sleep: Sleep,
    clock: Callable[[], datetime],
    waits: tuple[float, float] = (FIRST_WAIT, LONGEST_WAIT),
) -> Shortfall | None:
    """Look again and again, less and less often, for ``patience`` seconds; return the last shortfall, or None.

    ``waits``: the first and the longest time between two looks, in seconds; in between it is a share of the time spent.
    """
    begun, waited = clock(), 0.0
    while True:
        short = await check()
        spent = max(waited, (clock() - begun).total_seconds())
        if short is None or short.final or spent >= min(patience, patience if short.within is None else short.within):
            return short
        pause = min(max(waits[0], spent * WAITS_SHARE), waits[1])
        await sleep(pause)
        waited += pause
