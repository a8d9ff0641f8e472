"""``database cluster ...`` and ``backup snapshot`` (facts section 5 and 2).

Commands answer before the work is done. Without SSH: ``say(network, "core2", "database cluster remove", reply="Y")``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from cmscert.lab import backups, database_screen
from cmscert.lab.answers import UNKNOWN, Ask, Outcome, usage
from cmscert.lab.database import DatabaseNetwork
from cmscert.lab.database_files import FIVE, THREE
from cmscert.lab.database_node import DatabaseNode, Pending, Work
from cmscert.lab.grammar import joined, split

YES: Final = "Y"
"""[S13b]: a small y does not proceed."""

_QUESTIONS: Final[dict[Work, tuple[str, str]]] = {  # 5.3 [MEM]
    "initialize": (
        "Are you sure you wish to initialize this node as a new database cluster? (Y/n)",
        "The contents of this node's database will become the master version of the database in the new cluster.",
    ),
    "join": (
        "Are you sure you wish to attach this node to an existing database cluster? (Y/n)",
        "The contents of this node's database will be destroyed!",
    ),
    "remove": (
        "Are you sure you wish to detach this node from the database cluster? (Y/n)",
        "The contents of this node's database will be destroyed!",
    ),
}
_STARTED: Final[dict[Work, str]] = {
    "initialize": "Initialization started...",
    "join": "Attachment started...",
    "remove": "Removal started...",
}
_RESTARTING: Final = frozenset({"initialize", "join", "remove"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a node does with a line: it may put a ``question`` first, and carries on only for a capital Y."""

    outcome: Outcome
    question: str | None = None

    def after(self, reply: str | None) -> Outcome:
        """Return how it goes on once the question was answered; None for nobody there."""
        return self.outcome if self.question is None or reply == YES else Outcome(lines=["Aborted"])


def say(network: DatabaseNetwork, name: str, line: str, *, reply: str | None = None) -> str:
    """Type a line on a node, and a reply to its question; return all that it prints, LF line ends."""
    turn = typed(network, name, split(line))
    outcome = turn.after(reply)
    if outcome.effect is not None:
        outcome.effect()
    return outcome.text if turn.question is None else f"{turn.question}\n{outcome.text}"


async def run(network: DatabaseNetwork, name: str, words: Sequence[str], ask: Ask) -> Outcome:
    """Answer a command that starts with ``database`` or ``backup``, asking where it has to."""
    turn = typed(network, name, words)
    return turn.after(None if turn.question is None else await ask(turn.question))


def typed(network: DatabaseNetwork, name: str, words: Sequence[str]) -> Turn:
    """Tell what a node does with a command; nothing is done before the outcome's effect is called."""
    network.tick()
    node = network.node(name)
    match list(words):
        case ["database", "cluster", verb, *arguments]:
            return _COMMANDS.get(verb, _unknown_verb)(network, node, tuple(arguments))
        case ["backup", "snapshot", basename]:
            return Turn(outcome=backups.snapshot(node, basename))
        case ["backup", *_]:
            return Turn(outcome=usage("backup", "snapshot <name>"))
        case ["database", *_]:
            return _unknown_verb(network, node, ())
    return Turn(outcome=UNKNOWN)


def _unknown_verb(*_: object) -> Turn:
    verbs = "|".join(_COMMANDS)
    return Turn(outcome=usage("database", "cluster", verbs, "..."))


def _refused(node: DatabaseNode, text: str) -> Turn:
    """Refuse; how the device words that is unknown (facts 10.3)."""
    wording = node.spec.switches.refusal_wording
    lines = {"silent": [], "failure": [f"FAILURE: {text}"]}.get(wording, [text])
    return Turn(outcome=Outcome(lines=lines))


def _done(effect: Callable[[], None]) -> Turn:
    return Turn(outcome=Outcome(effect=effect))


def _status(network: DatabaseNetwork, node: DatabaseNode, arguments: tuple[str, ...]) -> Turn:
    if arguments:
        return _unknown_verb()
    return Turn(outcome=Outcome(lines=database_screen.draw(network, node)))


def _localnode(_: DatabaseNetwork, node: DatabaseNode, arguments: tuple[str, ...]) -> Turn:
    if len(arguments) != 1:
        return _unknown_verb()
    if node.standing or node.pending:
        return _refused(node, "the interface cannot be changed while this node is part of a database cluster")
    return _done(partial(setattr, node, "interface", None if arguments == ("none",) else arguments[0]))


def _certs(_: DatabaseNetwork, node: DatabaseNode, names: tuple[str, ...]) -> Turn:
    if names != ("none",) and len(names) not in (THREE, FIVE):
        return _unknown_verb()
    if node.standing or node.pending:  # [S13b]
        return _refused(node, "certificates cannot be changed while this node is part of a database cluster")
    missing = [name for name in names if name not in node.files and name != "none"]
    if missing:
        return _refused(node, f"file {missing[0]} does not exist")

    def effect() -> None:
        node.names, node.copies = (() if names == ("none",) else names), None
        if node.spec.switches.certs_copied_at == "certs":
            node.copy_files()

    return _done(effect)


def _clear_error(_: DatabaseNetwork, node: DatabaseNode, arguments: tuple[str, ...]) -> Turn:
    return _unknown_verb() if arguments else _done(partial(setattr, node, "error", None))


def _upgrade_schema(network: DatabaseNetwork, node: DatabaseNode, arguments: tuple[str, ...]) -> Turn:
    if arguments:
        return _unknown_verb()
    if node.role not in {"primary", "replica"} or node.pending:
        return _refused(node, "this node is not part of a database cluster, or is busy")
    return _begin(network, node, "upgrade_schema", ())


def _remove(network: DatabaseNetwork, node: DatabaseNode, arguments: tuple[str, ...]) -> Turn:
    if arguments:
        return _unknown_verb()
    if not node.standing:
        return _refused(node, "this node is not part of a database cluster")
    if node.pending is not None and node.pending.work == "remove":
        return _refused(node, "an operation is in progress")
    return _begin(network, node, "remove", ())


def _initialize(network: DatabaseNetwork, node: DatabaseNode, arguments: tuple[str, ...]) -> Turn:
    return _unknown_verb() if arguments else _stand(network, node, "initialize", (), needed=FIVE)


def _join(network: DatabaseNetwork, node: DatabaseNode, arguments: tuple[str, ...]) -> Turn:
    return _unknown_verb() if len(arguments) != 1 else _stand(network, node, "join", arguments, needed=FIVE)


def _connect(network: DatabaseNetwork, node: DatabaseNode, arguments: tuple[str, ...]) -> Turn:
    return _unknown_verb() if len(arguments) != 1 else _stand(network, node, "connect", arguments, needed=THREE)


def _stand(
    network: DatabaseNetwork, node: DatabaseNode, work: Work, arguments: tuple[str, ...], *, needed: int
) -> Turn:
    if node.standing or node.pending:
        return _refused(node, "this node is part of a database cluster, or is busy")
    if len(node.names) < needed:
        return _refused(node, "certificates are not configured")
    if node.interface is None:
        return _refused(node, "the local interface is not configured")
    return _begin(network, node, work, arguments)


def _begin(network: DatabaseNetwork, node: DatabaseNode, work: Work, arguments: tuple[str, ...]) -> Turn:
    line = joined(["database", "cluster", work, *arguments])

    def effect() -> None:
        now = network.clock()
        node.pending = Pending(work=work, line=line, due=now + node.seconds(line), address="".join(arguments))
        if work in {"initialize", "join", "connect"} and node.spec.switches.certs_copied_at == "start":
            node.copy_files()
        if work == "join":  # "is going to be overwritten" [S2]; when exactly is unknown: the worst is at once
            node.rows = []
        if work in _RESTARTING and node.spec.switches.database_restarts:
            node.restarts += 1
            node.restart()

    lines = ["", _STARTED[work]] if work in _STARTED else []
    return Turn(outcome=Outcome(lines=lines, effect=effect), question=_question(node, work))


def _question(node: DatabaseNode, work: Work) -> str | None:
    if work not in _QUESTIONS:
        return None
    match node.spec.switches.confirm_wording:
        case "short":
            return "Are you sure? (Y/n)"
        case "odd":
            return "Type Y in capitals to go on"
    return "\n".join(("WARNING!!!", *_QUESTIONS[work]))


_COMMANDS: Final[dict[str, Callable[[DatabaseNetwork, DatabaseNode, tuple[str, ...]], Turn]]] = {
    "localnode": _localnode,
    "certs": _certs,
    "initialize": _initialize,
    "join": _join,
    "connect": _connect,
    "remove": _remove,
    "status": _status,
    "upgrade_schema": _upgrade_schema,
    "clear_error": _clear_error,
}
