"""What must hold after every start, and in the end. Each raises AssertionError with what is wrong."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from cryptography import x509

from cmscert.apply.journal import JOURNAL_FILE, read_journal
from cmscert.errors import InputError, JournalError
from cmscert.lab import material
from cmscert.lab.database_files import flaw
from cmscert.lab.node import LabNode
from cmscert.model.plan import Rebind, Restart
from cmscert.testing.memory_session import ORIGIN
from cmscert.testing.service_campaign.cases import Start
from cmscert.testing.service_campaign.seen import snapshot

if TYPE_CHECKING:
    from cmscert.testing.service_campaign.theatre import Theatre

DONE: Final = 0
NODE: Final = 4
REFUSED: Final = 7
ROLLED_BACK: Final = 8
_LEFT: Final = ("stopped-by-run", "load-unproven")
NEITHER: Final = 9
INTERRUPTED: Final = 130
PROMISED: Final = (DONE, NODE, REFUSED, ROLLED_BACK, NEITHER, INTERRUPTED)
MARK: Final = "cmscert-lock-"
"""How the files begin by which nodes carry the mark of a run."""

EXCUSES: Final[dict[str, tuple[str, ...]]] = {
    "clock-jump": ("clock-skew", "not-yet-valid", "expired"),
    "lie": ("foreign-lock",),  # the mark of the run was not taken away: it counts for ten minutes
}
"""Guards that a fault may raise until a person mends what it broke, by kind of fault."""

LASTING: Final[dict[str, tuple[str, ...]]] = {}
"""Guards that a person has to lift, or to look into, after a fault."""


def databases(theatre: Theatre) -> None:
    """Hold that no row is lost, and that there is one cluster at most."""
    network = theatre.fleet.database
    live = [cluster.primary for cluster in network.clusters()]
    hold(len(live) <= 1, f"two clusters are alive: {' and '.join(live)}")
    lost = network.lost(theatre.held)
    hold(not lost, f"rows are lost: {', '.join(sorted(lost))}")


def after_start(theatre: Theatre) -> None:
    """Hold what is true after every start, whatever happened."""
    start = theatre.starts[-1]
    if theatre.stage.databases:
        databases(theatre)
    if start.code is None:
        return
    hold(start.code in PROMISED, f"the exit code is {start.code}")
    match start.code:
        case 0:
            _done(theatre, start)
        case 7:
            _refused(start)
        case 8:
            _rolled_back(theatre, start)
        case 9:
            hold(_tells(start), "9, and nothing tells what to do by hand")


def _done(theatre: Theatre, start: Start) -> None:
    wrong = theatre.stage.unmet(theatre.fleet, _unproven(theatre))
    hold(not wrong, f"0, and not as wanted: {'; '.join(wrong)}")
    if not _late_trouble(start):
        _running(theatre, start)


def _unproven(theatre: Theatre) -> frozenset[tuple[str, str]]:
    return frozenset(place for start in theatre.starts for place in start.unproven)


def _running(theatre: Theatre, start: Start) -> None:
    unproven = _unproven(theatre)
    down = [
        " ".join(place)
        for place, seen in theatre.first.items()
        if seen.up and not start.after[place].up and place not in unproven
    ]
    hold(not down, f"{start.code}, and down: {', '.join(down)}")


def _refused(start: Start) -> None:
    """Refused before anything was changed: markers may have come and gone."""
    changes = [what for what in start.changes if not is_mark(what.split()[-1])]
    hold(not changes, f"7, and yet: {', '.join(changes[:5])}")


def _rolled_back(theatre: Theatre, start: Start) -> None:
    """Every service whose step was taken back is as before it, or as before the run that died over it."""
    made = start.made
    assert made is not None  # noqa: S101 - 8 comes of a result
    assert made.result is not None  # noqa: S101 - same
    outcomes = {step.step: step.outcome for step in made.result.steps}
    hold("left" not in outcomes.values(), "8, and a step was left")
    touched: dict[tuple[str, str], set[str]] = {}
    left: set[tuple[str, str]] = set()
    for step in made.plan.steps:
        if isinstance(step.action, Rebind | Restart):
            touched.setdefault((step.server, step.action.service), set()).add(outcomes[step.id])
            if any(reason.endswith(_LEFT) for reason in step.because):
                left.add((step.server, step.action.service))
    for place, ended in touched.items():
        if "done" in ended or place not in start.before or _rebooted(start, place[0]):
            continue
        if place in left and "undone" in ended:
            hold(start.after[place].up, f"8, and {' '.join(place)} was left down")
            continue
        before, after = start.before[place], start.after[place]
        hold(after.up or not before.up, f"8, and {' '.join(place)} is down")
        same = [each.before[place] for each in theatre.starts if each.before[place].bound == after.bound]
        hold(same, f"8, and {' '.join(place)} is bound to {after.bound}, not {before.bound}")
        # Services of a server may share files of fixed names: then one takes back what a dead run did to all of them.
        if "undone" in ended and place[0] not in {server for server, _ in left}:
            whole = any(each.contents == after.contents for each in same)
            hold(whole, f"8, and files of {' '.join(place)} differ")


def _rebooted(start: Start, server: str) -> bool:
    return any(fault.kind == "reboot" and fault.server == server for fault in start.met)


def _late_trouble(start: Start) -> bool:
    """A node that reboots is not up again, maybe."""
    return any(fault.kind == "reboot" for fault in start.met)


def _tells(start: Start) -> bool:
    if isinstance(start.error, JournalError):
        return bool(start.error.hint)
    return start.made is not None and start.made.result is not None and bool(start.made.result.by_hand)


def _journals(theatre: Theatre) -> None:
    """Every journal can be read: whole, or torn at its last line where something broke while it was written."""
    folders = sorted((theatre.state / "runs").glob("*"))
    for folder in folders:
        try:
            view = read_journal(folder / JOURNAL_FILE)
        except InputError as error:
            hold(_cut_short(theatre), f"a journal cannot be read: {error.message}")
            continue
        hold(not view.torn or _cut_short(theatre), f"{folder.name}: the journal is torn")
        hold(view.whole or _cut_short(theatre), f"{folder.name}: the journal has no end")


def _cut_short(theatre: Theatre) -> bool:
    return any(start.code is None or isinstance(start.error, JournalError) for start in theatre.starts)


async def by_hand(theatre: Theatre) -> None:
    """Type what a result says, and hold that every service that was up is up, if what was bound could be started."""
    start = theatre.starts[-1]
    if start.made is None or start.made.result is None:
        return
    await theatre.quiet()
    for server, texts in start.made.result.by_hand:
        held: dict[str, bytes] = {}
        for text in texts:
            await _typed(theatre, theatre.fleet.node(server), text, held)
    for node in theatre.fleet.nodes.values():
        if _rebooted(start, node.name):
            node.machine.reboot()  # what failed to start then has its files again now
    await theatre.quiet()
    down = [
        f"{node} {name}"
        for (node, name), seen in theatre.first.items()
        if seen.up and seen.starts and not theatre.fleet.node(node).up(name)
    ]
    hold(not down, f"9, and after typing what it says, down: {', '.join(down)}; typed: {start.made.result.by_hand}")


async def _typed(theatre: Theatre, node: LabNode, text: str, held: dict[str, bytes]) -> None:
    words = text.split()
    if words[:2] == ["sftp", "get"]:
        source = theatre.fleet.node(words[4].rstrip(")")) if words[3:4] == ["(on"] else node
        hold(words[2] in source.files, f"9, and {text!r} finds no such file on {source.name}")
        held["last"] = source.files[words[2]]
    elif words[:2] == ["sftp", "put"]:
        hold("last" in held, f"9, and {text!r} has nothing to put")
        node.files[words[2]] = held["last"]
    elif words[:2] == ["sftp", "rm"]:
        node.files.pop(words[2], None)
    else:

        async def yes(_question: str) -> str | None:
            return "Y"

        await node.carry_out(text, ORIGIN, yes)
        await asyncio.sleep(60.0)


def in_the_end(theatre: Theatre) -> None:
    """Hold that it settled well: as wanted, or refused for a reason that a fault gave."""
    last = theatre.starts[-1]
    hold(last.settled, f"not settled after {len(theatre.starts)} starts: {last}")
    _journals(theatre)
    _secrets(theatre)
    _valid(theatre)
    marked = [f"{node.name} {name}" for node in theatre.fleet.nodes.values() for name in node.files if is_mark(name)]
    hold(not marked or any(start.met for start in theatre.starts), f"marks are left: {', '.join(marked)}")
    down = [
        f"{node} {name}"
        for (node, name), seen in theatre.first.items()
        if seen.up and not theatre.fleet.node(node).up(name) and (node, name) not in _unproven(theatre)
    ]
    if last.code == REFUSED:
        excused(theatre, lasting=True)
    else:
        wrong = theatre.stage.unmet(theatre.fleet, _unproven(theatre))
        hold(not wrong, f"settled, and not as wanted: {'; '.join(wrong)}")
        if theatre.stage.databases:
            _whole(theatre)
    hold(not down, f"in the end down: {', '.join(down)}")


def excused(theatre: Theatre, *, lasting: bool = False) -> None:
    """Hold that a fault explains a refusal; ``lasting``: one that a person could not mend meanwhile."""
    last = theatre.starts[-1]
    kinds = {fault.kind for start in theatre.starts for fault in start.met}
    excuses = {guard for kind in kinds for guard in (LASTING if lasting else EXCUSES).get(kind, ())}
    if theatre.case.setting.scenario == "fresh":
        excuses.add("last-call-bridge")  # one was set up, the others never ran: a person has to say that this is fine
    torn = len(theatre.case.faults) > 1 and theatre.case.setting.inventory.startswith("legacy")
    if "reboot" in kinds and torn and not lasting:
        excuses.add("last-call-bridge")  # half a pair was left new for a service that is done with it, then it rebooted
    unexcused = last.guards - excuses
    hold(not unexcused, f"refused by {', '.join(sorted(unexcused))}: {last}")


def _valid(theatre: Theatre) -> None:
    """Every service that runs shows a certificate whose key it has: one of before, or one that is wanted."""
    known = {leaf for seen in theatre.first.values() for leaf in seen.leaves}
    known |= {material.der(leaf.certificate) for leaf in theatre.stage.world.leaves.values()}
    known |= {material.der(cert) for node in theatre.fleet.nodes.values() for cert in _first(node)}
    for place, seen in snapshot(theatre.fleet).items():
        strange = [leaf for leaf in seen.leaves if leaf not in known]
        hold(not strange, f"{' '.join(place)} serves a certificate that nobody knows")


def _first(node: LabNode) -> list[x509.Certificate]:
    """Certificates that were bound before anything happened, loaded or not."""
    names = {files.certificate for service in node.spec.services.values() for files in service.slots.values()}
    return [material.certificates(node.spec.files[name])[0] for name in names if name in node.spec.files]


def _whole(theatre: Theatre) -> None:
    network = theatre.fleet.database
    live = network.clusters()
    hold(len(live) == 1, "settled, and no cluster is alive")
    for database in theatre.stage.sketch.databases:
        there = {live[0].primary, *live[0].in_sync, *live[0].clients}
        hold(there == set(database.members), f"settled, and the cluster is only {', '.join(sorted(there))}")
        now = theatre.loop.clock()
        ill = [name for name in database.members if (copies := network.node(name).copies) is None or flaw(copies, now)]
        hold(not ill, f"settled, and certificates of the database are flawed on {', '.join(ill)}")


def _secrets(theatre: Theatre) -> None:
    """Hold that no password and no key stands in a file of the operator, or in anything that was said."""
    needles = theatre.stage.secrets
    said = "\n".join(theatre.said).encode()
    hold(not any(needle in said for needle in needles), "a secret was said")
    for path in theatre.state.rglob("*"):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            hold(
                not any(needle in content for needle in needles),
                f"a secret stands in {path.relative_to(theatre.state)}",
            )


def is_mark(name: str) -> bool:
    """Tell whether a file is the mark of a run; one that could not be taken away counts for ten minutes."""
    return name.startswith(MARK)


def hold(held: object, otherwise: str) -> None:
    """Raise AssertionError unless something holds."""
    if not held:
        raise AssertionError(otherwise)
