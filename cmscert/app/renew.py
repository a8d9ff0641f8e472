"""``renew``: obtain what is missing or due; no service is touched, and what fails for one holds nothing else up.

A request is kept before anybody is asked, and asked for again until it is answered, whatever happens in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cmscert.app.fleet import PARALLEL, entries, reach
from cmscert.app.holding import on_this_machine
from cmscert.app.issuers import issuer_of, mark, sessions_or_why
from cmscert.app.needs import Need, needs_of
from cmscert.app.plan import own_state_dir
from cmscert.app.ports import Ports
from cmscert.app.requests import kept_request, wanted_request
from cmscert.app.running import writer_for
from cmscert.app.suggestions import ask_suggestions, with_suggestions
from cmscert.app.supplies import open_store, seal_store, waits_for
from cmscert.errors import CmscertError, InputError, IssuerError, NodeError, SecretError
from cmscert.inventory.load import read_bundles
from cmscert.inventory.outline import CmsCaIssuer, Outline
from cmscert.inventory.supplies import Use
from cmscert.issue.checking import Accepted, obtain
from cmscert.issue.command import CommandIssuer
from cmscert.issue.device import make_on_node
from cmscert.issue.directory import DirectoryIssuer
from cmscert.issue.issuers import Asked, Issuer, Outstanding
from cmscert.issue.store import Pending, Store, Stored
from cmscert.mmp.csr import request_for
from cmscert.model.desired import WantedServer
from cmscert.model.results import RenewReport, RenewRow, RenewState
from cmscert.pki.certificate import Certificate
from cmscert.pki.generate import make_key
from cmscert.pki.request import make_request
from cmscert.planning.due import due_at, end_of
from cmscert.planning.file_names import device_basename
from cmscert.planning.renewal import at_risk
from cmscert.transport.session import WriteSession

AT_A_TIME = 4
"""Questions to one issuer at once; programs are run one after the other, because many (certbot) lock their folder."""

Sessions = Callable[[str], WriteSession]


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewOptions:
    """What a person may choose. ``again``: ask even for what is fresh, and at once for what was put off."""

    select: tuple[str, ...] = ()
    again: bool = False
    rehearse: bool = False
    parallel: int = PARALLEL
    state_dir: Path | None = None


async def renew(
    inventory: Path,
    ports: Ports,
    *,
    now: datetime,
    options: RenewOptions,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> RenewReport:
    """Obtain certificates that are missing or due.

    Raises InputError when the inventory or the store is at fault, SecretError without the store's passphrase, and
    LockHeld when another run changes the fleet or the store; everything else is in the rows.
    """
    outline, bundles = read_bundles(inventory)
    if not options.rehearse:
        seal_store(outline)
        await ask_suggestions(outline, now, ports.note)
    outline = with_suggestions(outline)

    def owed() -> tuple[Need, ...]:
        return tuple(needs_of(outline, bundles, options.select, now, again=options.again))

    needs = owed()
    if not options.rehearse:
        _clear(outline, needs)
    if options.rehearse or not any(need.why for need in needs):
        rows = tuple(_row(outline, need, now, "due" if need.why else "fresh", need.why) for need in needs)
        return _report(outline, rows, now, options)
    store = open_store(outline, keys=True)
    store.try_passphrase()
    with store.held():
        needs = owed()  # what another run has obtained meanwhile is not asked for again
        wanted = [need for need in needs if need.why is not None]
        made = await _obtained(_Asking(outline, store, now, ports, sleep, again=options.again), wanted, options)
        store.prune(outline.policy.keep_revisions)
    rows = tuple(made.get(need.use) or _row(outline, need, now, "fresh", None) for need in needs)
    return _report(outline, rows, now, options)


def _clear(outline: Outline, needs: tuple[Need, ...]) -> None:
    """Forget what was asked for, or failed, where the inventory was changed back meanwhile: it is fresh."""
    for need in needs:
        if need.moot:
            open_store(outline, keys=False).drop_pending(*need.use)


async def _obtained(asking: _Asking, wanted: list[Need], options: RenewOptions) -> dict[Use, RenewRow]:
    """Ask for everything, with sessions to the servers that this needs, and to no other."""
    outline, ports = asking.outline, asking.ports
    servers = asking.servers(wanted)
    state_dir = options.state_dir or own_state_dir(outline.folder)
    writer = writer_for(outline.fleet, ports.clock(), command="renew", allow=())
    with on_this_machine(state_dir, writer, ports) if servers else nullcontext():
        async with AsyncExitStack() as stack:
            sessions = await _sessions(stack, outline, servers, ports, options.parallel)
            return await asking.all(wanted, sessions)


def _report(outline: Outline, rows: tuple[RenewRow, ...], now: datetime, options: RenewOptions) -> RenewReport:
    return RenewReport(made_at=now, fleet=outline.fleet, rows=rows, select=options.select, rehearsed=options.rehearse)


def _row(
    outline: Outline,
    need: Need,
    now: datetime,
    state: RenewState,
    why: str | None,
    chain: tuple[Certificate, ...] | None = None,
    notes: tuple[str, ...] = (),
) -> RenewRow:
    held = need.held.chain if chain is None else chain
    unanswered = state in {"waiting", "failed", "put-off"}
    return RenewRow(
        certificate=need.use[0],
        server=need.use[1],
        issuer=need.outline.issuer or "",
        state=state,
        why=why,
        due_at=due_at(held, outline.policy.renew_when) if held else None,
        not_after=end_of(held) if held else None,
        at_risk=unanswered and at_risk(need.held, outline.policy.renew_when, now),
        notes=notes,
    )


def _made_otherwise(need: Need, stored: Stored) -> tuple[str, ...]:
    """Say when the key that a server made is not of the declared kind: ``pki csr`` lets nobody choose ([UNK] 3.2)."""
    leaf, wanted = stored.chain[0], need.outline
    declared = (wanted.key_type or leaf.key_type, wanted.key_bits or leaf.key_bits)
    if not need.asks_a_server or declared == (leaf.key_type, leaf.key_bits):
        return ()
    asked = " ".join(str(part) for part in (wanted.key_type, wanted.key_bits) if part)
    return (f"{need.use[1]} made an {leaf.key_type} {leaf.key_bits} key, declared is {asked}",)


async def _sessions(
    stack: AsyncExitStack, outline: Outline, servers: tuple[str, ...], ports: Ports, parallel: int
) -> Sessions:
    found = [outline.server(name) for name in servers]
    wanted = tuple(WantedServer(name=one.name, address=one.address, fqdn=one.fqdn) for one in found)
    entry = entries({one.name: one.login for one in found}, wanted, outline.folder)
    reached = await stack.enter_async_context(reach(entry, ports.writer, parallel=parallel))
    return sessions_or_why(reached.sessions, reached.failures)


@dataclass
class _Asking:
    """Asks for certificates. ``sessions``: to the servers that ``servers`` named."""

    outline: Outline
    store: Store
    now: datetime
    ports: Ports
    sleep: Callable[[float], Awaitable[None]]
    again: bool = field(kw_only=True)
    sessions: Sessions = field(init=False)

    def servers(self, needs: list[Need]) -> tuple[str, ...]:
        """Return the servers that are needed: for keys that they make, and for the CA built into them."""
        names: list[str | None] = []
        for need in needs:
            if self._put_off(need) is None:
                issuer = self.outline.issuers[need.outline.issuer or ""]
                names += [issuer.server if isinstance(issuer, CmsCaIssuer) else None, self._makes(need)]
        return tuple(dict.fromkeys(name for name in names if name is not None))

    async def all(self, needs: list[Need], sessions: Sessions) -> dict[Use, RenewRow]:
        """Ask every issuer at once, and each of them for a few certificates at a time."""
        self.sessions = sessions
        by_issuer: dict[str, list[Need]] = {}
        put_off = {need.use: row for need in needs if (row := self._put_off(need)) is not None}
        for need in needs:
            if need.use not in put_off:
                by_issuer.setdefault(need.outline.issuer or "", []).append(need)
        rows = await asyncio.gather(*(self._of_issuer(name, found) for name, found in by_issuer.items()))
        return {use: row for found in (put_off, *rows) for use, row in found.items()}

    def _put_off(self, need: Need) -> RenewRow | None:
        """Leave alone what failed a short while ago; where validity is at risk, only if the issuer asked for it."""
        record = self.store.record(*need.use)
        failed = record.failed(need.outline.issuer or "")
        if failed is None or self.again:
            return None
        urgent = at_risk(need.held, self.outline.policy.renew_when, self.now)
        until = failed.closed_until if urgent else failed.next
        if until is None or self.now >= until:
            return None
        why = f"{waits_for(record, need.outline)}; next try at {until:%Y-%m-%d %H:%M} UTC"
        return self._row(need, "put-off", why)

    async def _of_issuer(self, name: str, needs: list[Need]) -> dict[Use, RenewRow]:
        try:
            issuer = issuer_of(name, self.outline, self.store, self.sessions)
        except (InputError, SecretError, NodeError) as error:
            return {need.use: self._failed(need, error) for need in needs}
        limit = asyncio.Semaphore(1 if isinstance(issuer, CommandIssuer) else AT_A_TIME)

        async def one(need: Need) -> RenewRow:
            async with limit:
                return await self._one(issuer, need)

        rows = await asyncio.gather(*(one(need) for need in needs))
        return {need.use: row for need, row in zip(needs, rows, strict=True)}

    async def _one(self, issuer: Issuer, need: Need) -> RenewRow:
        try:
            asked = self._asked(need, await self._pending(need))
            answer = await obtain(issuer, asked, clock=self.ports.clock)
        except (IssuerError, InputError, NodeError) as error:
            return self._failed(need, error)
        if isinstance(answer, Outstanding):
            self.store.remember(*need.use, answer.memo, answered=True)
            return self._row(need, "waiting", answer.why, notes=answer.notes)
        row = self._accepted(need, answer)
        if isinstance(issuer, DirectoryIssuer):
            issuer.withdraw(asked)
        return row

    def _accepted(self, need: Need, answer: Accepted) -> RenewRow:
        stored = self.store.accept(*need.use, answer.chain, issuer=need.outline.issuer or "", at=self.now)
        self.ports.note("issued", certificate=need.use[0], server=need.use[1] or "", issuer=stored.issuer)
        notes = (*answer.notes, *(finding.message for finding in answer.warnings), *_made_otherwise(need, stored))
        return self._row(need, "issued", need.why, chain=stored.chain, notes=notes)

    def _failed(self, need: Need, error: CmscertError) -> RenewRow:
        issuer, wait = need.outline.issuer or "", None
        match error:
            case IssuerError():
                message, wait = error.told, error.wait
                if error.delivered:  # an order at a CA would deliver the same for ever
                    self.store.remember(*need.use, {})
            case InputError():
                message = "; ".join(map(str, error.faults))
            case _:
                message = error.message
        self.store.fail(*need.use, message, issuer=issuer, at=self.now, wait=wait)
        facts = {"certificate": need.use[0], "server": need.use[1] or "", "issuer": issuer}
        self.ports.note("not issued", **facts, why=message)
        return self._row(need, "failed", message, notes=(error.hint,) if error.hint else ())

    def _row(
        self,
        need: Need,
        state: RenewState,
        why: str | None,
        *,
        chain: tuple[Certificate, ...] | None = None,
        notes: tuple[str, ...] = (),
    ) -> RenewRow:
        return _row(self.outline, need, self.now, state, why, chain, notes)

    async def _pending(self, need: Need) -> Pending:
        """Return the request that is under way, or make one and keep it."""
        kept = self._kept(need)
        if kept is not None:
            return kept
        outline, attributes = need.outline, self.outline.subject
        issuer = outline.issuer or ""
        if need.asks_a_server:
            assert need.use[1] is not None  # noqa: S101 - validate refuses a shared certificate with a key on a server
            basename = device_basename(outline.name, self.now, mark())
            request = request_for(basename, common_name=outline.common_name, sans=outline.sans, attributes=attributes)
            wanted = wanted_request(outline, attributes, None)
            made = await make_on_node(self.sessions(need.use[1]), request, wanted, sleep=self.sleep)
            return self.store.put_pending(*need.use, csr=made.csr, device_key=made.key_file, issuer=issuer, at=self.now)
        key = await asyncio.to_thread(make_key, outline.key_type or "rsa", outline.key_bits)
        csr = make_request(key, common_name=outline.common_name, sans=outline.sans, attributes=attributes)
        return self.store.put_pending(*need.use, csr=csr, key=key, issuer=issuer, at=self.now)

    def _kept(self, need: Need) -> Pending | None:
        return kept_request(self.store, need.outline, self.outline.subject)

    def _makes(self, need: Need) -> str | None:
        """Return the server that has to make a key; None where none has to, or where the request is damaged."""
        try:
            return need.use[1] if need.asks_a_server and self._kept(need) is None else None
        except InputError:  # _one says so, and holds nothing else up
            return None

    def _asked(self, need: Need, pending: Pending) -> Asked:
        demand = need.demand
        return Asked(
            certificate=need.use[0],
            server=need.use[1],
            common_name=demand.common_name,
            sans=demand.sans,
            csr=pending.csr,
            at=self.now,
            profile=demand.profile,
            bundle=demand.bundle,
            memo=pending.memo,
        )
