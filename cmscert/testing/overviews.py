"""Generated fleets from every side, for the pages of ``cmscert.reports.html``: large ones, and hostile ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cmscert.app.status import Judge, server_status
from cmscert.apply.before import CertificateBefore, ServerBefore, ServiceBefore
from cmscert.apply.runs import RunRecord
from cmscert.mmp.services import SERVICES
from cmscert.model.database import DatabaseMember, DatabaseState
from cmscert.model.desired import Bundle, Ignore, Policy
from cmscert.model.events import Asked, CommandSent, Event, ReplyReceived, RunEnded, RunStarted, StepEnded, StepStarted
from cmscert.model.observed import Binding
from cmscert.model.origin import Origin
from cmscert.model.overview import Overview
from cmscert.model.plan import Notice
from cmscert.model.readings import Known, Unread
from cmscert.model.results import DatabaseFile, DatabaseStatus, DriftReport, FleetStatus
from cmscert.planning.make import make_plan
from cmscert.testing.ca import Issued, ThrowAwayCa
from cmscert.testing.fleets import ToyFleet, identity, material, trusting
from cmscert.testing.plans import sample_plan

MOMENT = datetime(2026, 11, 23, 20, 30, tzinfo=UTC)
DAY = timedelta(days=1)
HOSTILE = (
    "<script>alert('x')</script>\"'><img src=x onerror=alert(1)>\x1b[31m\u202egnp\u2066\x00{{ 7*7 }}</pre></style>"
)
"""What a server may say that wants to be markup, a colour, another direction, or a template."""

HOSTILE_FILE = "<script>alert(4)</script>.crt"
RUN = "20261123T203000Z-7f3a21"


def overview_of(fleet: ToyFleet, *, public: ThrowAwayCa | None = None) -> Overview:
    """Compare a toy fleet as the commands do. ``public``: a CA whose root counts as one that browsers trust."""
    desired, observed = fleet.desired(), fleet.observed()
    plan = make_plan(desired, observed, table=SERVICES, moment=MOMENT, tool_version="0.1.0").plan
    judge = Judge(
        renew_when=desired.policy.renew_when,
        roots=frozenset() if public is None else frozenset(each.subject for each in public.full_chain),
    )
    status = FleetStatus(
        made_at=MOMENT,
        fleet=desired.fleet,
        inventory_sha256=desired.inventory_sha256,
        servers=tuple(server_status(each, observed[each.name], (), judge) for each in desired.servers),
    )
    drift = DriftReport(
        made_at=MOMENT,
        fleet=desired.fleet,
        inventory_sha256=desired.inventory_sha256,
        servers=len(desired.servers),
        slots=sum(len(each.slots) for each in desired.servers),
        unread=plan.unread,
        findings=tuple(replace(each, origin=_origin(each.server)) for each in plan.drift),
        notices=plan.notices,
    )
    return Overview(status=status, drift=drift, plan=plan)


def _origin(server: str) -> Origin:
    """Let people have changed some servers, and nobody know of others."""
    if server == "core1":
        return Origin(kind="server", at=MOMENT - DAY, run="20261122T203000Z-7f3a11")
    return Origin(kind="unknown", why="no apply on this server is in the journal here")


def fleet_overview(nodes: int = 6) -> Overview:
    """Return a fleet of so many servers with everything that a page can show; every fifth is up to date."""
    root = ThrowAwayCa.root("Example Root CA")
    issuing = root.intermediate("Example Issuing CA")
    public_root = ThrowAwayCa.root("Public Root")
    public = public_root.intermediate("Public Server CA", not_after=MOMENT + 400 * DAY)
    bundle = Bundle(name="corp", certificates=issuing.bundle)
    fleet = ToyFleet(
        policy=Policy(ignore=(Ignore(reason="CHG-1204: is replaced in March", server="core3", until="2026-12-31"),))
    )
    join = public.issue("join.example.com", _many("join"), not_before=MOMENT - 300 * DAY, not_after=MOMENT + 60 * DAY)
    next_join = public.issue("join.example.com", _many("join"), not_before=MOMENT - DAY, not_after=MOMENT + 198 * DAY)
    for number in range(1, nodes + 1):
        name = f"core{number}"
        server = fleet.server(name)
        if number == 2:  # noqa: PLR2004 - the second one is away
            server.unreachable = "no TCP connection to 10.0.0.12 port 22 within 10 s"
        names = (f"{name}.example.com", f"alt.{name}.example.com")
        old = issuing.issue(names[0], names, not_before=MOMENT - 340 * DAY, not_after=MOMENT + (number % 40 - 3) * DAY)
        new = issuing.issue(names[0], names, not_before=MOMENT - 2 * DAY, not_after=MOMENT + 363 * DAY)
        own, web = (
            material("node", new.certificate, new.chain),
            material("join", next_join.certificate, next_join.chain),
        )
        slots = (
            identity("webadmin", own, bundle),
            identity("callbridge", own, bundle),
            trusting("callbridge/trust-cluster", bundle),
            identity("webbridge3/https", web),
            identity("webbridge3/c2w", own),
            trusting("webbridge3/trust-c2w", bundle),
            identity("turn", web, bundle),
        )
        server.wanted = {slot.slot: slot for slot in slots}
        fresh = number % 5 == 0
        mine, shared = (new, next_join) if fresh else (old, join)
        for slot, held, third in (
            ("webadmin", mine, True),
            ("callbridge", mine, True),
            ("webbridge3/https", shared, False),
            ("webbridge3/c2w", mine, False),
            ("turn", shared, True),
        ):
            chain = (held.certificate,) if third else held.full_chain
            server.hold(slot, chain, held.key.spki_sha256, bundle.certificates if third else ())
        server.trust("callbridge/trust-cluster", bundle.certificates)
        server.trust("webbridge3/trust-c2w", bundle.certificates)
    made = overview_of(fleet, public=public)
    return _with_database(made, issuing.issue("db.example.com", not_after=MOMENT + 9 * DAY), root)


def _many(stem: str) -> tuple[str, ...]:
    return (f"{stem}.example.com", *(f"{stem}{number}.example.com" for number in range(1, 9)))


def _with_database(made: Overview, server: Issued, ca: ThrowAwayCa) -> Overview:
    """Let the first server be the primary of a database, and the last one be of another that cannot be read."""
    me = DatabaseMember(address="10.0.0.11", me=True, connected=True, role="primary")
    files = (
        DatabaseFile(use="server", certificate="db.crt", key="db.key", on_disk=Known((server.certificate,))),
        DatabaseFile(use="client", certificate="client.crt", key=None, on_disk=Unread("the store refused")),
        DatabaseFile(use="ca", certificate="ca.crt", key=None, on_disk=Known((ca.certificate,))),
    )
    state = Known(DatabaseState(status="Enabled", standing=True, members=(me,), error="none of note"))
    first = DatabaseStatus(database="main", wanted="node", state=state, files=files)
    last = DatabaseStatus(database="main", wanted="client", state=Unread("the answer is unclear"))
    servers = list(made.status.servers)
    servers[0] = replace(servers[0], database=first)
    servers[-1] = replace(servers[-1], database=last)
    return replace(made, status=replace(made.status, servers=tuple(servers)))


def hostile_overview() -> Overview:
    """Return a fleet whose servers say everything that a page must not believe."""
    ca = ThrowAwayCa.root("</title><script>alert(2)//")
    fleet = ToyFleet(policy=Policy(ignore=(Ignore(reason=HOSTILE, server="core2"),)))
    for name in ("core1", "core2"):
        server = fleet.server(name)
        wanted = ca.issue("core.example.com", ("core.example.com",))
        held = ca.issue("<b onclick=alert(3)>\u202e\u200b&amp;", ("<script>.example.com",), not_after=MOMENT + DAY)
        server.wanted["webadmin"] = identity("webadmin", material("node", wanted.certificate, wanted.chain))
        server.hold("webadmin", held.full_chain)
        bound = Binding(slot="webadmin", key=HOSTILE_FILE, certificate=HOSTILE_FILE)
        server.files[HOSTILE_FILE] = server.files.pop(str(server.bound["webadmin"].certificate))
        server.bound["webadmin"] = bound
    fleet.server("core3").unreachable = HOSTILE
    made = overview_of(fleet)
    return replace(made, drift=replace(made.drift, notices=(Notice(message=HOSTILE, server="core1"),)))


def sample_record(result: str = "neither", answer: str = "SUCCESS") -> RunRecord:
    """Return a run of ``sample_plan``: what it typed, what was answered, and what it read back.

    ``result``: also ``unfinished``, which breaks off in a step. ``answer``: what servers say to every command.
    """
    plan = sample_plan()
    at = [MOMENT]

    def tick() -> datetime:
        at[0] += timedelta(seconds=3)
        return at[0]

    told: list[Event] = [
        RunStarted(at=tick(), run=RUN, fleet="example", steps=9),
        Asked(at=tick(), server="core1", typed="sftp ls", shown="a.crt\n\nb.crt", seconds=0.1),
    ]
    for step, typed, outcome in (
        ("s01", "sftp put corp-9c0d1e2f.crt", "done"),
        ("s07", "callbridge restart", "done"),
        ("s08", "webbridge3 disable", "failed"),
    ):
        server = next(each.server for each in plan.steps if each.id == step)
        told.append(StepStarted(at=tick(), step=step, server=server, what=f"do {typed}"))
        told.append(CommandSent(at=tick(), step=step, server=server, typed=typed))
        if result == "unfinished" and outcome == "failed":
            break
        told.append(ReplyReceived(at=tick(), step=step, server=server, typed=typed, shown=answer, seconds=2.5))
        told += [
            Asked(at=tick(), server=server, typed=screen, shown=shown, seconds=0.1)
            for screen, shown in _read_back(step)
        ]
        told.append(StepEnded(at=tick(), step=step, server=server, outcome=outcome, why=None))  # type: ignore[arg-type]  # the literals above
    if result != "unfinished":
        told.append(StepStarted(at=tick(), step="s08", server="edge1", what="bind webbridge3", undoing=True))
        told.append(StepEnded(at=tick(), step="s08", server="edge1", outcome="left", why=answer))
        told.append(StepEnded(at=tick(), step="s10", server="edge1", outcome="skipped", why="s08 on edge1 failed"))
        by_hand = (("edge1", ("webbridge3 disable", "webbridge3 enable")),) if result == "neither" else ()
        ended = RunEnded(at=tick(), run=RUN, result=result, why=answer, by_hand=by_hand)  # type: ignore[arg-type]  # given by tests
        told.append(ended)
    header = {
        "user": "operator",
        "machine": "desk1",
        "tool_version": "0.1.0",
        "fleet": "example",
        "command": "apply",
        "select": ["server=*"],
        "allow": ["last-call-bridge"],
        "inventory": "cluster.yaml",
        "revision": {"commit": "0123456789abcdef", "dirty": True},
    }
    return RunRecord(id=RUN, folder=Path("runs") / RUN, header=header, events=tuple(told))


def _read_back(step: str) -> tuple[tuple[str, str], ...]:
    if step == "s01":
        return (("sftp get corp-9c0d1e2f.crt", f"1363 bytes, sha256 {'0123456789abcdef' * 4}"),)
    if step == "s07":
        return (
            ("callbridge", "Key file : cb.key\nCertificate file : cb.crt\nC2W trusted certs : corp-9c0d1e2f.crt\n"),
        )
    return ()


def sample_before() -> dict[str, ServerBefore]:
    """Return what was read before that run."""
    leaf = CertificateBefore(
        subject="CN=Example Issuing CA", serial="1f", not_after="2030-01-01T00:00:00+00:00", sha256="ab" * 32
    )
    bound = Binding(slot="callbridge/trust-c2w", bundle="corp.crt")
    service = ServiceBefore(enabled=True, bindings={bound.slot: bound})
    return {
        "core1": ServerBefore(
            name="core1",
            services={"callbridge": service},
            certificates={"corp.crt": (leaf, replace(leaf, serial="2f"))},
        )
    }
