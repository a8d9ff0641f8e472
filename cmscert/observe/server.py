"""One node, read: everything at once, in as few round trips as there are questions that need an earlier answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache

from cmscert.errors import NotACms
from cmscert.mmp.commands import DATE, USER_LIST, VERSION, pki_match, statuses
from cmscert.mmp.database import DATABASE_STATUS
from cmscert.mmp.replies import (
    clean,
    read_date,
    read_log_stamp,
    read_match,
    read_user_expiry,
    read_version,
)
from cmscert.mmp.screens import read_screen
from cmscert.model.database import DatabaseState
from cmscert.model.desired import WantedIdentity, WantedServer
from cmscert.model.names import Release, service_of
from cmscert.model.observed import Binding, ObservedServer, ServiceState, StoredFile
from cmscert.model.readings import ABSENT, NOT_ASKED, Known, Reading, Unread
from cmscert.model.services import Service, ServiceTable, rows_for
from cmscert.observe.asking import Ear, attempt, finish, together
from cmscert.observe.database import database_files, database_pairs, hear_database
from cmscert.observe.files import bound_files, is_key, own_files, read_files
from cmscert.observe.markers import read_markers
from cmscert.observe.services import Chain, read_served, tags, worst_of
from cmscert.transport.session import Probe, ReadSession

LOG = "log"
LOG_TAIL = 8192
"""Bytes; a line of T-01's form has about 150."""

Screens = dict[str, Reading[ServiceState]]
Pair = tuple[str, str]


async def observe_server(  # noqa: PLR0913 - each is one thing that tells how to look
    session: ReadSession,
    wanted: WantedServer,
    *,
    table: ServiceTable,
    probe: Probe,
    clock: Callable[[], datetime],
    user: str,
    known: ObservedServer | None = None,
    extra: frozenset[str] = frozenset(),
    database: bool = False,
) -> ObservedServer:
    """Read one node: release, clock, password expiry, files, screens, certificates, matches, what is served.

    ``clock``: aware UTC. ``user``: the account that is logged in. ``known``: an earlier reading of the same run; its
    release, clock and password expiry are taken over. ``extra``: services to look at besides the wanted ones.
    ``database``: the node is a member of a database cluster, which is read too.
    What could not be read is Unread in the result; a node that answers nothing at all is not reached.
    Raises NotACms when neither the release nor any screen can be recognised.
    """
    look = _Look(session=session, wanted=wanted, table=table, probe=probe, clock=clock, user=user, known=known)
    return await look.all(extra, database=database)


@dataclass(frozen=True, slots=True, kw_only=True)
class _First:
    """What the first round tells."""

    release: Reading[Release]
    expires: Reading[date]
    files: Reading[tuple[str, ...]]
    rows: Mapping[str, Service]
    screens: Screens
    database: Reading[DatabaseState]

    @property
    def listed(self) -> tuple[str, ...] | None:
        return self.files.value if isinstance(self.files, Known) else None


class _Look:
    def __init__(
        self,
        *,
        session: ReadSession,
        wanted: WantedServer,
        table: ServiceTable,
        probe: Probe,
        clock: Callable[[], datetime],
        user: str,
        known: ObservedServer | None,
    ) -> None:
        self.session = session
        self.wanted = wanted
        self.table = table
        self.probe = probe
        self.user = user
        self.known = known
        self.ear = Ear(session, clock)
        self.tags = tags(wanted)

    async def all(self, extra: frozenset[str], *, database: bool) -> ObservedServer:
        fixed = any(isinstance(slot, WantedIdentity) and slot.material.naming == "fixed" for slot in self.wanted.slots)
        names = set(map(service_of, self.wanted.slots_seen)) | extra
        if fixed:
            names |= {row.name for row in self.table}
        first = await self._first(names, database=database)
        if isinstance(first, Unread):
            return ObservedServer(name=self.wanted.name, reached=first)
        return await self._second(first, everything=fixed or bool(own_files(first.listed or ())))

    async def _first(self, names: Iterable[str], *, database: bool) -> _First | Unread:
        """Ask everything that needs no earlier answer."""
        named = sorted(names)
        rows = [row for name in named for row in self._candidates(name)]
        questions = [command for row in rows for command in statuses(row)]
        if self.known is None:
            questions += [VERSION, DATE, USER_LIST]
        if database:
            questions.append(DATABASE_STATUS)
        listed = asyncio.ensure_future(self._listing())
        await finish(listed, *map(self.ear.asked, questions))
        listing = listed.result()
        answers = (listing, *self.ear.answers())
        lost = [answer for answer in answers if isinstance(answer, Unread)]
        if len(lost) == len(answers):
            return lost[0]
        release = await self._release()
        sure = self._rows(release)
        screens = await self._screens({name: sure.get(name) for name in named})
        cluster = await hear_database(self.ear) if database else NOT_ASKED
        known = (release, cluster)
        if not any(isinstance(each, Known) for each in known) and named and self._strange(screens):
            raise NotACms(
                self.session.server,
                "something answers, but not with the command line of a Meeting Server",
                hint="check the address and the port of this server in the inventory",
            )
        expires = self.known.password_expires if self.known else await self._expires()
        return _First(release=release, expires=expires, files=listing, rows=sure, screens=screens, database=cluster)

    async def _listing(self) -> Reading[tuple[str, ...]]:
        return await attempt(self.session.list_files())

    def _strange(self, screens: Screens) -> bool:
        """Tell whether commands were answered, and none of the answers is a screen."""
        answered = any(isinstance(answer, Known) for answer in self.ear.answers())
        return answered and not any(isinstance(state, Known) for state in screens.values())

    def _candidates(self, name: str) -> list[Service]:
        """Rows whose screens to ask before the release is certain; a guess costs a question, never an answer."""
        rows = [row for row in self.table if row.name == name]
        release = self._believed()
        return [row for row in rows if release is None or row.in_release(release)]

    def _believed(self) -> Release | None:
        if self.known is not None and isinstance(self.known.release, Known):
            return self.known.release.value
        return self.wanted.release

    async def _release(self) -> Reading[Release]:
        if self.known is not None:
            return self.known.release
        heard = await self.ear.text(VERSION)
        return read_version(heard.value) if isinstance(heard, Known) else heard

    def _rows(self, release: Reading[Release]) -> Mapping[str, Service]:
        """Return the node's rows by its own word, else the inventory's, else the newest of each service."""
        sure = release.value if isinstance(release, Known) else self.wanted.release
        return rows_for(self.table, sure) if sure is not None else {row.name: row for row in self.table}

    async def _screens(self, rows: Mapping[str, Service | None]) -> Screens:
        for row in rows.values():
            for command in statuses(row) if row is not None else ():
                self.ear.asked(command)
        return {name: await self._screen(row) for name, row in rows.items()}

    async def _screen(self, row: Service | None) -> Reading[ServiceState]:
        if row is None:
            return ABSENT
        texts = await self.ear.texts(*statuses(row))
        lost = next((text for text in texts if not isinstance(text, Known)), None)
        if lost is not None:
            return lost
        told = tuple(text.value for text in texts if isinstance(text, Known))
        return _state_of(row, told, self.tags.get(row.name))

    async def _expires(self) -> Reading[date]:
        heard = await self.ear.text(USER_LIST)
        return read_user_expiry(heard.value, self.user) if isinstance(heard, Known) else heard

    async def _second(self, first: _First, *, everything: bool) -> ObservedServer:
        """Read what the first answers name, all at once."""
        own = _public(own_files(first.listed or ()))
        more_names = _public(name for slot in self.wanted.looked_at for each in slot.bindings for name in each.files)
        bound = _files_of(first.screens.values())
        names = tuple(dict.fromkeys((*bound, *database_files(first.database), *more_names, *own)))
        skew = asyncio.ensure_future(self._skew())
        read = asyncio.ensure_future(read_files(self.session, names, listed=first.listed))
        more = asyncio.ensure_future(self._more(first, names, everything=everything))
        matches = asyncio.ensure_future(self._matches(first))
        markers = asyncio.ensure_future(read_markers(self.session, first.listed or ()))
        shown = asyncio.ensure_future(self._shown(first))
        await finish(skew, read, more, matches, markers, shown)
        screens, others = more.result()
        contents = {**read.result(), **others}
        return ObservedServer(
            name=self.wanted.name,
            reached=Known(value=True),
            release=first.release,
            clock_skew=skew.result(),
            password_expires=first.expires,
            files=first.files,
            contents=contents,
            screens={**first.screens, **screens},
            matches=matches.result(),
            served=worst_of(shown.result(), _bound_leaves(first.screens, contents)),
            database=first.database,
            markers=tuple(markers.result().values()),
        )

    async def _more(
        self, first: _First, seen: tuple[str, ...], *, everything: bool
    ) -> tuple[Screens, dict[str, Reading[StoredFile]]]:
        """Look at the release's other services: what they use must be neither removed nor overwritten unnoticed."""
        if not everything:
            return {}, {}
        rows = {name: row for name, row in first.rows.items() if name not in first.screens}
        screens = await self._screens(rows)
        names = [name for name in _files_of(screens.values()) if name not in seen]
        return screens, await read_files(self.session, names, listed=first.listed)

    async def _skew(self) -> Reading[float]:
        """Compare the node's clock with ours, in seconds; the ``date`` command is [MEM], the log's form is T-01."""
        if self.known is not None:
            return self.known.clock_skew
        heard = await self.ear.hear(DATE)
        if isinstance(heard, Known):
            told = read_date(heard.value.reply.text)
            if isinstance(told, Known):
                return Known((told.value - heard.value.moment).total_seconds())
        # Every command is logged (T-01), so the last line of the log is about as old as the last answer.
        tail = await attempt(self.session.read_tail(LOG, LOG_TAIL))
        if isinstance(tail, Unread):
            return tail
        stamp = read_log_stamp(clean(tail.value or b""))
        moments = [answer.value.moment for answer in self.ear.answers() if isinstance(answer, Known)]
        if not isinstance(stamp, Known) or not moments:
            return Unread("neither the date command nor the log tells the clock")
        return Known((stamp.value - max(moments)).total_seconds())

    async def _matches(self, first: _First) -> dict[Pair, Reading[bool]]:
        """Let the node compare keys that stay there with the certificates bound beside them."""
        pairs = tuple(dict.fromkeys(self._pairs(first)))
        if first.listed is None:
            return dict.fromkeys(pairs, Unread("the list of files could not be read"))
        there = [pair for pair in pairs if all(name in first.listed for name in pair)]
        readings = await together(*(self._match(pair) for pair in there))
        return dict(zip(there, readings, strict=True))

    def _pairs(self, first: _First) -> Iterator[Pair]:
        yield from database_pairs(first.database)
        identities = [slot.slot for slot in self.wanted.slots if isinstance(slot, WantedIdentity)]
        for slot in (*identities, *(slot.slot for slot in self.wanted.looked_at)):
            state = first.screens.get(service_of(slot))
            if isinstance(state, Known):
                yield from _pair(state.value.binding(slot))
        for looked_at in self.wanted.looked_at:
            for bound in looked_at.bindings:
                yield from _pair(bound)

    async def _match(self, pair: Pair) -> Reading[bool]:
        """Absent: the node answered, and its wording, which no source has, does not tell."""
        try:
            heard = await self.ear.text(pki_match(*pair))
        except ValueError as error:  # never of a screen, but of a file that says what was bound
            return Unread(str(error))
        if not isinstance(heard, Known):
            return heard
        told = read_match(heard.value)
        return told if isinstance(told, Known) else ABSENT

    async def _shown(self, first: _First) -> dict[str, tuple[Reading[Chain], ...]]:
        """Probe every wanted identity slot that listens."""
        services = dict.fromkeys(map(service_of, self.wanted.slots_seen))
        rows = [first.rows[name] for name in services if name in first.rows]
        shown = await together(
            *(read_served(row, first.screens[row.name], self.wanted, probe=self.probe) for row in rows)
        )
        return {slot: readings for of_row in shown for slot, readings in of_row.items()}


@lru_cache(maxsize=4096)
def _state_of(row: Service, texts: tuple[str, ...], tag: str | None) -> Reading[ServiceState]:
    """Read a screen once, however many nodes show the same."""
    return read_screen(row, *texts, tag=tag)


def _pair(bound: Binding) -> Iterator[Pair]:
    if bound.key is not None and bound.certificate is not None:
        yield bound.key, bound.certificate


def _files_of(screens: Iterable[Reading[ServiceState]]) -> Iterator[str]:
    for state in screens:
        yield from bound_files(state)


def _public(names: Iterable[str]) -> Iterator[str]:
    return (name for name in names if not is_key(name))


def _bound_leaves(screens: Screens, contents: Mapping[str, Reading[StoredFile]]) -> dict[str, tuple[str, ...]]:
    """Return, by slot, the SHA-256 of the leaf in the bound certificate file, as far as it was read."""
    leaves: dict[str, tuple[str, ...]] = {}
    for state in screens.values():
        for slot, bound in state.value.bindings.items() if isinstance(state, Known) else ():
            content = contents.get(bound.certificate or "")
            if isinstance(content, Known):
                leaves[slot] = tuple(certificate.sha256 for certificate in content.value.certificates[:1])
    return leaves
