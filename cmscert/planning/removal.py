"""Which old files may go: only files that this tool named, that nothing uses, beyond the revisions to keep."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from cmscert.model.desired import Policy, WantedDatabase, WantedIdentity
from cmscert.model.observed import ObservedServer
from cmscert.model.readings import NOT_ASKED, Known, Unread
from cmscert.planning.file_names import own_kind, stem_of
from cmscert.planning.sight import Sight
from cmscert.planning.targets import in_use


def removable(
    sight: Sight, after: ObservedServer, policy: Policy, databases: tuple[WantedDatabase, ...] = ()
) -> tuple[str, ...]:
    """Return what can be removed from a server once the run is verified.

    ``after``: the server as it will read then. Nothing is removed when any screen could not be read: a service that
    nobody looked at may use the file (law 2).
    """
    files = after.files
    if not isinstance(files, Known) or not sight.wanted.slots or not _all_screens_read(sight):
        return ()
    if any(sight.name in database.members for database in databases) and not isinstance(after.database, Known):
        return ()
    if isinstance(after.database, Unread) and after.database != NOT_ASKED:
        return ()  # a member of a database that is not selected
    used = in_use(replace(sight, observed=after))
    revisions: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    stems = _stems(sight) | _database_stems(sight.name, databases)
    for name in files.value:
        own = own_kind(name)
        if own is None or name in used or name in sight.wanted.pending:
            continue
        kind, stem, date = own
        if stem.removesuffix("-saved") in stems:
            revisions[kind, stem].append((date or _issued(after, name), name))
    old = [name for group in revisions.values() for _, name in sorted(group, reverse=True)[policy.keep_revisions :]]
    return tuple(sorted(old))


def _all_screens_read(sight: Sight) -> bool:
    return bool(sight.rows) and not any(isinstance(sight.observed.screen(name), Unread) for name in sight.rows)


def _stems(sight: Sight) -> frozenset[str]:
    names: set[str] = set()
    for wanted in sight.wanted.slots:
        if isinstance(wanted, WantedIdentity):
            names.add(stem_of(wanted.material.certificate))
        if wanted.bundle is not None:
            names.add(stem_of(wanted.bundle.name))
    return frozenset(names)


def _database_stems(server: str, databases: tuple[WantedDatabase, ...]) -> frozenset[str]:
    stems: set[str] = set()
    for database in databases:
        if database.ca is not None and server in database.members:
            stems.add(stem_of(database.ca.name))
        stems |= {stem_of(held[server].certificate) for held in (database.server, database.client) if server in held}
    return frozenset(stems)


def _issued(after: ObservedServer, name: str) -> str:
    """Bundles carry no date in their name: their newest certificate tells their age."""
    content = after.contents.get(name)
    if not isinstance(content, Known) or not content.value.certificates:
        return ""
    return f"{max(crt.not_before for crt in content.value.certificates):%Y%m%d}"
