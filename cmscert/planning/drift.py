"""All differences of a server, and what could not be read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from cmscert.model.desired import Desired, Policy, WantedIdentity, WantedSlot
from cmscert.model.names import service_of
from cmscert.model.observed import Binding
from cmscert.model.plan import Drift
from cmscert.model.readings import Absent, Known, Unread
from cmscert.planning.checks import IDENTITY_CHECKS, TRUST_CHECKS, IdentityCase, TrustCase
from cmscert.planning.ignoring import with_ignores
from cmscert.planning.interrupted import Interruption, left_drift
from cmscert.planning.sight import Sight


def find_drift(
    sight: Sight, policy: Policy, moment: datetime, interruptions: tuple[Interruption, ...] = ()
) -> tuple[Drift, ...]:
    """Return every difference of a server, with ``policy.ignore`` applied: ignored drift is shown, never planned.

    ``interruptions``: what runs left unproven.
    """
    found = list(left_drift(interruptions, sight))
    if sight.wanted.slots and isinstance(sight.observed.reached, Known):
        found += _of_server(sight)
        for wanted in sight.wanted.slots:
            found += _of_slot(sight, wanted, policy, moment)
    return tuple(with_ignores(drift, policy.ignore, moment) for drift in found)


def awaited_drift(desired: Desired, moment: datetime) -> tuple[Drift, ...]:
    """Return the slots whose certificate is not there yet: no step can mend that, ``renew`` does."""
    found = (
        Drift(
            server=each.server,
            slot=each.slot,
            reason="not-issued",
            wanted=f"certificate {each.certificate}",
            found=each.why,
            plannable=False,
        )
        for each in desired.awaited
    )
    return tuple(with_ignores(drift, desired.policy.ignore, moment) for drift in found)


def find_unread(sight: Sight) -> tuple[str, ...]:
    """Return, in sentences, what was needed from a server and could not be read (law 2)."""
    observed = sight.observed
    if isinstance(observed.reached, Unread):
        return (observed.reached.why,)
    why: list[str] = []
    if sight.release is None:
        why.append(f"release: {_why(observed.release)}")
    if isinstance(observed.files, Unread):
        why.append(f"list of files: {observed.files.why}")
    services = dict.fromkeys(service_of(wanted.slot) for wanted in sight.wanted.slots)
    for service in services:
        screen = observed.screen(service)
        if service in sight.rows and isinstance(screen, Unread):
            why.append(f"{service}: {screen.why}")
    for (key, certificate), match in sight.observed.matches.items():
        bound = any((each.key, each.certificate) == (key, certificate) for each in _bindings(sight))
        if bound and isinstance(match, Unread) and isinstance(observed.files, Known):
            why.append(f"whether {key} belongs to {certificate}: {match.why}")
    for name in dict.fromkeys(_bound_public_files(sight)):
        content = sight.file(name)
        if isinstance(content, Unread):
            why.append(f"{name}: {content.why}")
    return tuple(why)


def _bindings(sight: Sight) -> Iterator[Binding]:
    return (sight.binding(wanted.slot) for wanted in sight.wanted.slots)


def _bound_public_files(sight: Sight) -> Iterator[str]:
    for bound in _bindings(sight):
        yield from (name for name in (bound.certificate, bound.bundle) if name is not None)


def _why(reading: object) -> str:
    return reading.why if isinstance(reading, Unread) else "the server does not tell it"


def _of_server(sight: Sight) -> Iterator[Drift]:
    wanted, found = sight.wanted.release, sight.observed.release
    if wanted is not None and isinstance(found, Known) and found.value != wanted:
        yield Drift(
            server=sight.name,
            slot=None,
            reason="release-differs",
            wanted=str(wanted),
            found=str(found.value),
            severity="warning",
            plannable=False,
        )


def _of_slot(sight: Sight, wanted: WantedSlot, policy: Policy, moment: datetime) -> Iterator[Drift]:
    if sight.release is None:
        return
    state = sight.state(service_of(wanted.slot))
    if sight.slot(wanted.slot) is None or isinstance(sight.observed.screen(service_of(wanted.slot)), Absent):
        yield Drift(
            server=sight.name,
            slot=wanted.slot,
            reason="no-such-service",
            wanted=f"{wanted.slot} on this server",
            found=f"release {sight.release} does not know it",
            plannable=False,
        )
        return
    if state is None or content_unread(sight, wanted):
        return
    bound = state.binding(wanted.slot)
    if isinstance(wanted, WantedIdentity):
        case = IdentityCase(
            sight=sight,
            wanted=wanted,
            bound=bound,
            found=sight.certificates(bound.certificate),
            policy=policy,
            moment=moment,
        )
        yield from filter(None, (check(case) for check in IDENTITY_CHECKS))
        return
    trust = TrustCase(sight=sight, wanted=wanted, bound=bound, found=sight.certificates(bound.bundle))
    yield from filter(None, (check(trust) for check in TRUST_CHECKS))


def content_unread(sight: Sight, wanted: WantedSlot) -> bool:
    """Nothing is decided about a slot of which a bound file could not be read."""
    bound = sight.binding(wanted.slot)
    names = [name for name in (bound.certificate, bound.bundle) if name is not None]
    return isinstance(sight.observed.files, Unread) or any(isinstance(sight.file(name), Unread) for name in names)
