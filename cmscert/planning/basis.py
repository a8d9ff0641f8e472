"""What a plan was made from, part by part, and what has moved since: so that "stale" names what (law 5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from sys import intern

from cmscert.model.names import service_of
from cmscert.model.observed import Binding, ObservedServer, ServiceState, same_files
from cmscert.model.plan import Plan, Rebind
from cmscert.model.readings import ABSENT, Absent, Known, Reading, Unread
from cmscert.planning.words import summary

SHORT = 16
"""Hex digits of a part's digest in a plan; the whole digest beside it decides, these only name."""

MOST_FILES = 5

_ORDER = ("release", "service", "slot", "database", "content", "file", "served", "ports", "match", "files")
"""What is told first."""


def basis_of(observed: ObservedServer) -> tuple[str, dict[str, str]]:
    """Return the whole digest of what was read, and the short ones by part, each text once for all servers."""
    parts = observed.parts()
    return observed.digest(parts), {intern(name): intern(digest[:SHORT]) for name, digest in parts.items()}


def basis_parts(observed: ObservedServer) -> dict[str, str]:
    """Return the short digests of what was read, by part."""
    return basis_of(observed)[1]


def moved(saved: Plan, server: str, now: ObservedServer) -> tuple[str, ...]:
    """Say what of a server is no longer as a plan was made from it; empty where the plan does not tell its parts."""
    then = saved.basis_parts.get(server)
    if then is None:
        return ()
    parts = basis_parts(now)
    changed = sorted(part for part in then.keys() | parts.keys() if then.get(part) != parts.get(part))
    if "reached" in changed:
        return ("it can be read now, and could not then" if now.reached.kind == "known" else "it cannot be read now",)
    names: dict[str, list[str]] = {}
    for part in changed:
        kind, _, name = part.partition(" ")
        names.setdefault(kind, []).append(name)
    difference = _Difference(then=then, parts=parts, now=now, bound=dict(_bound_then(saved, server)))
    return tuple(text for kind in _ORDER if kind in names for text in difference.told(kind, names[kind]))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Difference:
    """Two readings of a server: the digests of one, the other whole. ``bound``: what is known of the first."""

    then: Mapping[str, str]
    parts: Mapping[str, str]
    now: ObservedServer
    bound: Mapping[str, Binding]

    def told(self, kind: str, names: list[str]) -> Iterator[str]:
        if kind == "file":
            yield from self._files(names)
            return
        tell = {
            "release": self._release,
            "service": self._service,
            "slot": self._slot,
            "database": lambda _: "the status of its database differs",
            "content": self._content,
            "served": self._served,
            "ports": self._ports,
            "match": self._match,
            "files": lambda _: "the list of its files could be read only once",
        }[kind]
        yield from filter(None, map(tell, names))

    def _release(self, _name: str) -> str:
        return f"its release is {self.now.release.value if isinstance(self.now.release, Known) else 'unread'} now"

    def _service(self, name: str) -> str | None:
        """More is asked of a server whose store holds files of ours: what was read only once did not move."""
        return _running(name, self.now.screen(name)) if self._both(f"service {name}") else None

    def _slot(self, slot: str) -> str | None:
        if not self._both(f"service {service_of(slot)}"):
            return None
        screen = self.now.screen(service_of(slot))
        return _rebound(slot, screen.value.binding(slot), self.bound.get(slot)) if isinstance(screen, Known) else None

    def _ports(self, slot: str) -> str | None:
        return f"{slot} listens at other ports" if self._both(f"service {service_of(slot)}") else None

    def _content(self, name: str) -> str | None:
        """A file that came or went is told with the files, one that is read now because it is bound with its slot."""
        if not self._both(f"content {name}") or self.then.get(f"file {name}") != self.parts.get(f"file {name}"):
            return None
        content = self.now.content(name)
        return (
            f"{name} cannot be read now ({content.why})" if isinstance(content, Unread) else f"{name} holds other bytes"
        )

    def _files(self, names: list[str]) -> Iterator[str]:
        added = [name for name in names if f"file {name}" in self.parts]
        removed = [name for name in names if f"file {name}" in self.then]
        for what, some in (("added", added), ("removed", removed)):
            if some:
                yield f"files in the store were {what}: {_some(some)}"

    def _served(self, slot: str) -> str:
        served = self.now.served.get(slot, ABSENT)
        if isinstance(served, Known) and served.value:
            return f"the port of {slot} shows {summary(served.value[0])}"
        return f"the port of {slot} {'does not answer' if isinstance(served, Absent) else 'could not be read'} now"

    def _match(self, pair: str) -> str | None:
        return (
            f"whether {' and '.join(pair.split())} belong together reads otherwise"
            if self._both(f"match {pair}")
            else None
        )

    def _both(self, part: str) -> bool:
        return part in self.then and part in self.parts


def service_moved(service: str, planned: Reading[ServiceState], found: Reading[ServiceState]) -> tuple[str, ...]:
    """Say what of a service's screen is no longer as a plan leans on it; tags, which are not always shown, aside."""
    if not isinstance(planned, Known):
        return (f"{service} was not read when the plan was made",)
    if not isinstance(found, Known):
        return (_running(service, found),)
    then, now = planned.value, found.value
    said = [_running(service, found)] if then.enabled != now.enabled else []
    said += [
        _rebound(slot, now.binding(slot), then.binding(slot))
        for slot in sorted({*then.bindings, *now.bindings})
        if not same_files(then.binding(slot), now.binding(slot))
    ]
    return tuple(said)


def _running(service: str, found: Reading[ServiceState]) -> str:
    if isinstance(found, Known):
        runs = {True: "runs now", False: "is stopped now", None: "does not tell now whether it runs"}
        return f"{service} {runs[found.value.enabled]}"
    if isinstance(found, Absent):
        return f"{service} is not known to the server any more"
    return f"{service} could not be read again: {found.why}"


def _rebound(slot: str, now: Binding, then: Binding | None) -> str:
    was = "unlike then" if then is None else f"and was to {_names(then)}"
    return f"{slot} is bound to {_names(now)} now, {was}"


def _names(binding: Binding) -> str:
    return ", ".join(binding.files) or "nothing"


def _some(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - MOST_FILES} more" if len(every) > MOST_FILES else ""
    return ", ".join(every[:MOST_FILES]) + more


def _bound_then(plan: Plan, server: str) -> Iterator[tuple[str, Binding]]:
    """Yield what slots were bound to, the oldest last: the first way back of each slot knows."""
    for step in reversed(plan.steps):
        if step.server == server and isinstance(step.undo, Rebind):
            yield from ((binding.slot, binding) for binding in step.undo.bindings)
