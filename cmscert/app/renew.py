"""``renew``: obtain what is missing or due; no service is touched, and what fails for one holds nothing else up.

A request is kept before anybody is asked, and asked for again until it is answered, whatever happens in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cmscert.app.fleet import PARALLEL, entries, reach
from cmscert.app.holding import on_this_machine
from cmscert.app.issuers import issuer_of, mark, sessions_or_why
from cmscert.app.plan import own_state_dir
from cmscert.app.ports import Ports
from cmscert.app.running import writer_for
from cmscert.app.suggestions import ask_suggestions, with_suggestions
from cmscert.app.supplies import issued_uses, open_store, places_of, seal_store, waits_for
from cmscert.errors import CmscertError, Fault, InputError, IssuerError, NodeError, SecretError
from cmscert.inventory.load import read_bundles
from cmscert.inventory.outline import CertificateOutline, CmsCaIssuer, Outline
from cmscert.inventory.supplies import Use
from cmscert.issue.checking import Accepted, obtain
from cmscert.issue.device import make_on_node
from cmscert.issue.directory import DirectoryIssuer
from cmscert.issue.issuers import Asked, Issuer, Outstanding, Profile
from cmscert.issue.store import Pending, Store, Stored
from cmscert.mmp.csr import request_for
from cmscert.model.desired import WantedServer
from cmscert.model.results import RenewReport, RenewRow, RenewState
from cmscert.pki.certificate import Certificate
from cmscert.pki.generate import make_key
from cmscert.pki.request import WantedRequest, make_request, read_request, request_faults
from cmscert.planning.due import due_at, end_of
from cmscert.planning.file_names import device_basename
from cmscert.planning.renewal import Holding, at_risk, why_renew
from cmscert.planning.select import Selector, fits, parse_selector
from cmscert.transport.session import WriteSession

AT_A_TIME = 4
"""Questions to one issuer at once."""

Sessions = Callable[[str], WriteSession]


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewOptions:
    """What a person may choose. ``again``: ask even for what is fresh, and at once for what was put off."""

    select: tuple[str, ...] = ()
    again: bool = False
    rehearse: bool = False
    parallel: int = PARALLEL
    state_dir: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Need:
    """One certificate of the inventory with what is known of it. ``why``: None when it is fresh."""

    use: Use
    outline: CertificateOutline
    profile: Profile
    stored: Stored | None
    held: Holding
    why: str | None

    @property
    def asks_a_server(self) -> bool:
        return self.outline.key_made == "device"


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
    needs = tuple(_needs(outline, options, now))
    wanted = [need for need in needs if need.why is not None]
    if options.rehearse or not wanted:
        rows = tuple(_row(outline, need, now, "due" if need.why else "fresh", need.why) for need in needs)
        return _report(outline, rows, now, options)
    store = open_store(outline, keys=True)
    state_dir = options.state_dir or own_state_dir(outline.folder)
    writer = writer_for(outline.fleet, ports.clock(), command="renew", allow=())
    servers = _servers(outline, store, wanted)
    with on_this_machine(state_dir, writer, ports) if servers else nullcontext(), store.held():
        async with AsyncExitStack() as stack:
            sessions = await _sessions(stack, outline, servers, ports, options.parallel)
            asking = _Asking(outline, store, bundles, sessions, now, ports, sleep, again=options.again)
            made = await asking.all(wanted)
        store.prune(outline.policy.keep_revisions)
    rows = tuple(made.get(need.use) or _row(outline, need, now, "fresh", None) for need in needs)
    return _report(outline, rows, now, options)


def _report(outline: Outline, rows: tuple[RenewRow, ...], now: datetime, options: RenewOptions) -> RenewReport:
    return RenewReport(made_at=now, fleet=outline.fleet, rows=rows, select=options.select, rehearsed=options.rehearse)


def _needs(outline: Outline, options: RenewOptions, now: datetime) -> Iterator[_Need]:
    """Yield every issued certificate that something of the selection uses, and say why it has to be obtained."""
    try:
        selectors = tuple(parse_selector(text) for text in options.select)
    except ValueError as error:
        raise InputError([Fault(message=str(error), reason="selector")]) from error
    store = open_store(outline, keys=False)
    profiles = _profiles(outline, selectors)
    for use, certificate in issued_uses(outline).items():
        if use not in profiles:
            continue
        stored = store.latest(*use)
        held = _holding(certificate, profiles[use], stored)
        why = why_renew(held, outline.policy.renew_when, now)
        yield _Need(
            use=use,
            outline=certificate,
            profile=profiles[use],
            stored=stored,
            held=held,
            why="asked for once more" if options.again and why is None else why,
        )


def _profiles(outline: Outline, selectors: tuple[Selector, ...]) -> dict[Use, Profile]:
    """Return what the places of a certificate need, for what is selected."""
    places: dict[Use, list[tuple[tuple[str, ...], tuple[str, ...], str | None]]] = {}
    chosen: set[Use] = set()
    servers = {server.name: server for server in outline.servers}
    for use, server, place in places_of(outline):
        needed = place.eku if place.eku_sourced else ()
        places.setdefault(use, []).append((place.eku, needed, place.common_name))
        at = servers[server]
        values = {"server": (server,), "role": at.roles, "service": (place.name,), "certificate": (use[0],)}
        if fits(selectors, values, at.labels):
            chosen.add(use)
    return {
        use: Profile(
            ekus=tuple(dict.fromkeys(eku for ekus, _, _ in found for eku in ekus)),
            needed=tuple(dict.fromkeys(eku for _, ekus, _ in found for eku in ekus)),
            common_name_must_be=next((name for _, _, name in found if name is not None), None),
            strict=outline.policy.profile == "strict",
        )
        for use, found in places.items()
        if use in chosen
    }


def _holding(certificate: CertificateOutline, profile: Profile, stored: Stored | None) -> Holding:
    assert certificate.issuer is not None  # noqa: S101 - only issued ones come here
    return Holding(
        chain=stored.chain if stored is not None else (),
        issuer=stored.issuer if stored is not None else None,
        on_device=stored is not None and stored.device_key is not None,
        wanted_issuer=certificate.issuer,
        wanted_names=certificate.declared,
        wanted_on_device=certificate.key_made == "device",
        wanted_type=certificate.key_type,
        wanted_bits=certificate.key_bits,
        wanted_ekus=profile.needed or (),
    )


def _row(
    outline: Outline,
    need: _Need,
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


def _servers(outline: Outline, store: Store, needs: list[_Need]) -> tuple[str, ...]:
    """Return the servers that are needed: for keys that they make, and for the CA built into them."""
    names: list[str] = []
    for need in needs:
        issuer = outline.issuers[need.outline.issuer or ""]
        if isinstance(issuer, CmsCaIssuer):
            names.append(issuer.server)
        if need.asks_a_server and need.use[1] is not None and store.record(*need.use).waiting is None:
            names.append(need.use[1])
    return tuple(dict.fromkeys(names))


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
    outline: Outline
    store: Store
    bundles: Mapping[str, tuple[Certificate, ...]]
    sessions: Sessions
    now: datetime
    ports: Ports
    sleep: Callable[[float], Awaitable[None]]
    again: bool = field(kw_only=True)

    async def all(self, needs: list[_Need]) -> dict[Use, RenewRow]:
        """Ask every issuer at once, and each of them for a few certificates at a time."""
        by_issuer: dict[str, list[_Need]] = {}
        put_off = {need.use: row for need in needs if (row := self._put_off(need)) is not None}
        for need in needs:
            if need.use not in put_off:
                by_issuer.setdefault(need.outline.issuer or "", []).append(need)
        rows = await asyncio.gather(*(self._of_issuer(name, found) for name, found in by_issuer.items()))
        return {use: row for found in (put_off, *rows) for use, row in found.items()}

    def _put_off(self, need: _Need) -> RenewRow | None:
        """Leave alone what failed a short while ago, unless validity is at risk."""
        record = self.store.record(*need.use)
        risky = at_risk(need.held, self.outline.policy.renew_when, self.now)
        if record.failures is None or self.now >= record.failures.next or self.again or risky:
            return None
        when = f"{record.failures.next:%Y-%m-%d %H:%M} UTC"
        return self._row(need, "put-off", f"{waits_for(record, need.outline)}; next try at {when}")

    async def _of_issuer(self, name: str, needs: list[_Need]) -> dict[Use, RenewRow]:
        try:
            issuer = issuer_of(name, self.outline, self.store, self.sessions)
        except (InputError, SecretError, NodeError) as error:
            return {need.use: self._failed(need, error) for need in needs}
        limit = asyncio.Semaphore(AT_A_TIME)

        async def one(need: _Need) -> RenewRow:
            async with limit:
                return await self._one(issuer, need)

        rows = await asyncio.gather(*(one(need) for need in needs))
        return {need.use: row for need, row in zip(needs, rows, strict=True)}

    async def _one(self, issuer: Issuer, need: _Need) -> RenewRow:
        try:
            asked = self._asked(need, await self._pending(need))
            answer = await obtain(issuer, asked, clock=self.ports.clock)
        except (IssuerError, InputError, NodeError) as error:
            return self._failed(need, error)
        if isinstance(answer, Outstanding):
            self.store.remember(*need.use, answer.memo)
            return self._row(need, "waiting", answer.why, notes=answer.notes)
        row = self._accepted(need, answer)
        if isinstance(issuer, DirectoryIssuer):
            issuer.withdraw(asked)
        return row

    def _accepted(self, need: _Need, answer: Accepted) -> RenewRow:
        stored = self.store.accept(*need.use, answer.chain, issuer=need.outline.issuer or "", at=self.now)
        self.ports.note("issued", certificate=need.use[0], server=need.use[1] or "", issuer=stored.issuer)
        notes = (*answer.notes, *(finding.message for finding in answer.warnings))
        return self._row(need, "issued", need.why, chain=stored.chain, notes=notes)

    def _failed(self, need: _Need, error: CmscertError) -> RenewRow:
        message = "; ".join(map(str, error.faults)) if isinstance(error, InputError) else error.message
        wait = error.wait if isinstance(error, IssuerError) else None
        self.store.fail(*need.use, message, at=self.now, wait=wait)
        self.ports.note("not issued", certificate=need.use[0], server=need.use[1] or "", why=message)
        return self._row(need, "failed", message, notes=(error.hint,) if error.hint else ())

    def _row(
        self,
        need: _Need,
        state: RenewState,
        why: str | None,
        *,
        chain: tuple[Certificate, ...] | None = None,
        notes: tuple[str, ...] = (),
    ) -> RenewRow:
        return _row(self.outline, need, self.now, state, why, chain, notes)

    async def _pending(self, need: _Need) -> Pending:
        """Return the request that is under way, or make one and keep it."""
        pending = self.store.pending(*need.use)
        if pending is not None and self._fits(need, pending):
            return pending
        outline, attributes = need.outline, self.outline.subject
        issuer = outline.issuer or ""
        if need.asks_a_server:
            assert need.use[1] is not None  # noqa: S101 - validate refuses a shared certificate with a key on a server
            basename = device_basename(outline.name, self.now, mark())
            request = request_for(basename, common_name=outline.common_name, sans=outline.sans, attributes=attributes)
            made = await make_on_node(self.sessions(need.use[1]), request, self._wanted(need, None), sleep=self.sleep)
            return self.store.put_pending(*need.use, csr=made.csr, device_key=made.key_file, issuer=issuer, at=self.now)
        key = await asyncio.to_thread(make_key, outline.key_type or "rsa", outline.key_bits)
        csr = make_request(key, common_name=outline.common_name, sans=outline.sans, attributes=attributes)
        return self.store.put_pending(*need.use, csr=csr, key=key, issuer=issuer, at=self.now)

    def _fits(self, need: _Need, pending: Pending) -> bool:
        """Tell whether the inventory still asks for what a request asks for."""
        if pending.issuer != need.outline.issuer or (pending.device_key is not None) != need.asks_a_server:
            return False
        request = read_request(pending.csr, file=f"{need.use[0]}.csr")
        return not request_faults(request, self._wanted(need, pending.spki))

    def _wanted(self, need: _Need, spki: str | None) -> WantedRequest:
        """Say what a request must ask for; what kind of key a server makes is not known ([UNK])."""
        outline = need.outline
        local = not need.asks_a_server
        return WantedRequest(
            common_name=outline.common_name,
            sans=outline.sans,
            attributes=self.outline.subject,
            key_type=outline.key_type if local else None,
            key_bits=outline.key_bits if local else None,
            spki=spki,
        )

    def _asked(self, need: _Need, pending: Pending) -> Asked:
        outline = need.outline
        return Asked(
            certificate=outline.name,
            server=need.use[1],
            common_name=outline.common_name,
            sans=outline.sans,
            csr=pending.csr,
            at=self.now,
            profile=need.profile,
            bundle=self.bundles.get(outline.chain or "", ()),
            memo=pending.memo,
        )
