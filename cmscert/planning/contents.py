"""What slots are to hold and do hold, as digests of certificates that can be kept and compared later."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from cmscert.model.desired import WantedDatabase, WantedIdentity, WantedSlot
from cmscert.model.names import service_of
from cmscert.model.origin import Content
from cmscert.model.readings import Known, Unread
from cmscert.pki.certificate import Certificate
from cmscert.planning.sight import Sight

DIGITS = 32
MINTED = Content(file="made by CMS")
"""Material from the CA built into CMS has no wanted content."""


def wanted_content(slot: WantedSlot) -> Content:
    """Return what an identity or trust slot is to hold."""
    if isinstance(slot, WantedIdentity):
        bundle = None if slot.bundle is None else _set(slot.bundle.certificates)
        return Content(file=_file(slot.file_certificates), bundle=bundle)
    return Content(bundle=_set(slot.bundle.certificates))


def found_content(sight: Sight, slot: str) -> Content | None:
    """Return what a slot holds; None where that was not read."""
    if sight.state(service_of(slot)) is None:
        return None
    bound = sight.binding(slot)
    names = [name for name in (bound.certificate, bound.bundle) if name is not None]
    if any(isinstance(sight.file(name), Unread) for name in names):
        return None
    return Content(
        file=None if bound.certificate is None else _file(sight.certificates(bound.certificate)),
        bundle=None if bound.bundle is None else _set(sight.certificates(bound.bundle)),
    )


def wanted_of_member(database: WantedDatabase, server: str) -> Content:
    """Return what a member of a database cluster is to stand on."""
    if database.minting is not None or database.ca is None:
        return MINTED
    pair = [database.client[server].leaf, *([database.server[server].leaf] if server in database.nodes else [])]
    return Content(file=_file(pair), bundle=_set(database.ca.certificates))


def found_of_member(database: WantedDatabase, sight: Sight) -> Content | None:
    """Return what a member of a database cluster stands on; None where that was not read."""
    state = sight.observed.database
    if not isinstance(state, Known):
        return None
    if database.minting is not None:
        return MINTED
    files = state.value.files
    uses = [files.client_certificate, *([files.server_certificate] if sight.name in database.nodes else [])]
    if any(isinstance(sight.file(name), Unread) for name in (*uses, files.ca) if name is not None):
        return None
    return Content(
        file=_file(each for name in uses for each in sight.certificates(name)[:1]),
        bundle=_set(sight.certificates(files.ca)),
    )


def holds(found: Content, proven: Content) -> bool:
    """Tell whether a slot still holds what was proven; a bundle that nobody wanted is of no matter."""
    return found.file == proven.file and proven.bundle in (None, found.bundle)


def _file(certificates: Iterable[Certificate]) -> str:
    return _digest(each.sha256 for each in certificates)


def _set(certificates: Iterable[Certificate]) -> str:
    return _digest(sorted({each.sha256 for each in certificates}))


def _digest(words: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:DIGITS]
