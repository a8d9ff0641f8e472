"""Which steps belong to which database cluster, and what that means for failing, stopping and finishing by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from cmscert.apply.database import Membership, Records
from cmscert.errors import Fault
from cmscert.model.desired import Desired
from cmscert.model.observed import ObservedServer
from cmscert.model.plan import (
    BackupDatabase,
    ConfirmPrimary,
    CopyFile,
    DatabaseAction,
    MintDatabase,
    Plan,
    ProveCluster,
    Step,
)
from cmscert.model.readings import Known
from cmscert.transport.session import WriteSession

Done = Callable[[Step], bool]
_LOOKING = MintDatabase | CopyFile | BackupDatabase | ConfirmPrimary | ProveCluster


def memberships(
    plan: Plan,
    desired: Desired,
    sessions: Mapping[str, WriteSession],
    records: Records,
    observed: Mapping[str, ObservedServer],
) -> dict[str, Membership]:
    """Return, by server, the database that it is a member of."""
    found: dict[str, Membership] = {}
    for database in desired.databases:
        proofs = {
            step.id
            for step in plan.steps
            if isinstance(step.action, ProveCluster) and step.action.database == database.name
        }
        membership = Membership(
            wanted=database,
            servers={name: desired.server(name) for name in database.members},
            sessions={name: sessions[name] for name in database.members if name in sessions},
            records=records,
            seconds=desired.policy.seconds.get("database", 0),
            unproven=proofs,
            blind=frozenset(name for name in database.members if name in observed and _is_blind(observed[name])),
        )
        found.update(dict.fromkeys(database.members, membership))
    return found


def _is_blind(server: ObservedServer) -> bool:
    reading = server.database
    return isinstance(reading, Known) and reading.value.standing and not reading.value.primaries


def unfit(step: Step, members: Mapping[str, Membership] | None) -> Iterator[Fault]:
    """Say why a step on a database cannot be carried out: a rebuild must never begin and not go on."""
    if not isinstance(step.action, DatabaseAction):
        return
    membership = (members or {}).get(step.server)
    named = getattr(step.action, "database", None)
    if members is None:
        message = "no place is given for backups and for the note about the primary"
    elif membership is None:
        message = "the server is no member of a database of the inventory"
    elif named not in (None, membership.wanted.name):
        message = f"the server is no member of database {named}"
    else:
        return
    yield Fault(message=f"step {step.id} on {step.server}: {message}", reason="plan")


class Rebuilds:
    """``sent``: whether anything of a step may have reached its server."""

    def __init__(self, plan: Plan, members: Mapping[str, Membership], sent: Callable[[Step], bool]) -> None:
        self._steps: dict[str, list[Step]] = {}
        for step in plan.steps:
            if isinstance(step.action, DatabaseAction):
                self._steps.setdefault(members[step.server].wanted.name, []).append(step)
        self._of = {step.id: name for name, steps in self._steps.items() for step in steps}
        self._sent = sent

    def rest(self, step: Step) -> tuple[Step, ...]:
        """Return the steps of the same database that stand behind this one in the plan."""
        mine = self._steps[self._of[step.id]]
        return tuple(mine[mine.index(step) + 1 :])

    def begun(self, step: Step) -> bool:
        """Tell whether the database of a step has been changed: from then on there is only the way forward."""
        return self._is_begun(self._of[step.id])

    def must_go_on(self, step: Step) -> bool:
        """Tell whether a step may start although the run is to stop: a cluster that is taken down is built up first."""
        return step.id in self._of and self.begun(step)

    def remaining(self, done: Done) -> Iterator[Step]:
        """Yield, in the plan's order, the steps that a person has to finish by hand."""
        for name in self._under_way(done):
            yield from (step for step in self._steps[name] if not done(step))

    def open_ends(self, done: Done) -> str | None:
        """Say which databases are in pieces, and how they are put together again."""
        names = ", ".join(self._under_way(done))
        if not names:
            return None
        return (
            f"database {names} is neither old nor new: apply again goes on from here and knows who holds the data; or "
            "look at each status, then type the rest by hand in exactly this order"
        )

    def built_up(self, done: Done) -> str | None:
        """Say which databases were changed and finished."""
        open_ends = self._under_way(done)
        built = [name for name in self._steps if self._is_begun(name) and name not in open_ends]
        return f"database {', '.join(built)} was built up before the run stopped" if built else None

    def _under_way(self, done: Done) -> list[str]:
        return [
            name
            for name, steps in self._steps.items()
            if self._is_begun(name) and not all(done(step) for step in steps)
        ]

    def _is_begun(self, name: str) -> bool:
        return any(self._sent(step) for step in self._steps[name] if not isinstance(step.action, _LOOKING))
