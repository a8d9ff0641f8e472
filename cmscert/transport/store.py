"""The node's flat file store over SFTP (fact 2): bytes only, no stat of paths, nothing ever written on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from weakref import WeakKeyDictionary

import asyncssh
from asyncssh.constants import FILEXFER_TYPE_DIRECTORY

from cmscert.errors import AnswerTimeout, StoreRefused, UnexpectedAnswer
from cmscert.mmp.replies import clean
from cmscert.transport.line import DeniedError, Line, LostError, RefusedError
from cmscert.transport.pace import PAUSES
from cmscert.transport.session import Sink

FILE_LIMIT = 1 << 20
"""Bytes of one file (1 MiB)."""

FETCH_LIMIT = 16 << 30
"""Bytes of a file that is handed on: a backup without end would fill the disk of whoever fetches it."""

NAMES_LIMIT = 20_000
NAME_BYTES = 255
READS_AT_ONCE = 8
BLOCKS_AHEAD = 8  # asked for at once while a file is fetched: 256 KiB of it are held at most
BLOCK = 32_768  # what every SFTP server hands out in one answer

T = TypeVar("T")
_NO_SUCH = (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath)
_GONE = (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection, asyncssh.DisconnectError, OSError)

LEFT_OPEN = 16
"""Files that were read and are still open: the end of the session closes them without a word or a round trip."""

_left_open: WeakKeyDictionary[asyncssh.SFTPClient, list[asyncssh.SFTPClientFile]] = WeakKeyDictionary()
_closing: set[asyncio.Future[None]] = set()
"""Keeps what nobody awaits from being collected."""

LineSource = Callable[[], Awaitable[Line]]


class Store:
    """Files of one node. The SFTP session is opened when first needed, and once.

    ``shared`` gives the node's connection, ``second`` one of its own: [S1] opens SFTP on a separate connection, and
    whether a node needs that is not known (fact 1.3), so it is found out.
    """

    def __init__(self, server: str, *, seconds: float, shared: LineSource, second: LineSource) -> None:
        self._server = server
        self._seconds = seconds
        self._shared = shared
        self._second = second
        self._apart = False
        self._client: asyncssh.SFTPClient | None = None
        self._line: Line | None = None
        self._lock = asyncio.Lock()
        self._places = asyncio.Semaphore(READS_AT_ONCE)
        self._busy = 0
        self._leaving: tuple[asyncssh.SFTPClient, int] | None = None

    @property
    def line(self) -> Line | None:
        """The connection that files are read on, once there is one."""
        return self._line

    async def names(self) -> tuple[str, ...]:
        """Return the names of the files, sorted. Names that no file of ours could have are left out."""
        found = await self._run("the list of files", _names)
        return tuple(sorted({name for name in map(_fit_name, found) if name is not None}))

    async def read(self, name: str) -> bytes | None:
        """Return a file's bytes, None when there is none."""
        path = self._path(name)
        content = await self._run(f"reading {name}", lambda sftp: _read(sftp, path))
        if content is not None and len(content) > FILE_LIMIT:
            raise StoreRefused(self._server, f"{name} is larger than 1 MiB and was not read")
        return content

    async def tail(self, name: str, size: int) -> bytes | None:
        """Return at most the last ``size`` bytes of a file, None when there is none."""
        path, wanted = self._path(name), min(size, FILE_LIMIT)
        return await self._run(f"reading the end of {name}", lambda sftp: _read(sftp, path, last=wanted))

    async def fetch(self, name: str, take: Sink, *, start: int = 0) -> bool:
        """Hand a file on from ``start``, part by part; False when there is none. Time is limited for each part."""
        path, came = self._path(name), 0

        def took(part: bytes) -> None:
            nonlocal came
            came += len(part)
            if start + came > FETCH_LIMIT:
                raise StoreRefused(self._server, f"{name} is larger than {FETCH_LIMIT >> 30} GiB and was not fetched")
            take(part)

        return await self._run(f"fetching {name}", lambda sftp: _fetch(sftp, path, took, start), lambda: came)

    async def put(self, name: str, content: bytes) -> None:
        """Write a file and see that the store took all of it."""
        path = self._path(name)
        kept = await self._run(f"writing {name}", lambda sftp: _write(sftp, path, content))
        if kept is not None and kept != len(content):
            raise StoreRefused(
                self._server,
                f"{name} was not stored whole: {kept} of {len(content)} bytes",
                hint="see whether the store is full (df), and remove what is not needed",
            )

    async def remove(self, name: str) -> None:
        """Remove a file; fine when there is none."""
        path = self._path(name)
        await self._run(f"removing {name}", lambda sftp: _remove(sftp, path))

    def give_way(self, *, busy: bool = False) -> bool:
        """Free the channel on the node's connection, when that is idle; True when there was one to free.

        ``busy``: also when it is not, as soon as what is under way has ended. Files are read on a connection of their
        own from then on.
        """
        if self._apart or self._client is None or (self._busy and not busy):
            return False
        if self._busy:
            self._leaving = (self._client, self._busy)
        else:
            self._client.exit()
        self._client = self._line = None
        self._apart = True
        return True

    def _left(self, sftp: asyncssh.SFTPClient) -> None:
        """Count an operation that has ended; the last one of a session that gives way closes it."""
        self._busy -= 1
        if self._leaving is not None and self._leaving[0] is sftp:
            client, users = self._leaving
            self._leaving = (client, users - 1) if users > 1 else None
            if users == 1:
                client.exit()

    async def close(self) -> None:
        """Close the SFTP session, and the connection that was opened for it."""
        if self._client is not None:
            self._client.exit()
        if self._apart and self._line is not None:
            await self._line.close()

    def _path(self, name: str) -> bytes:
        if _fit_name(name.encode("utf-8", "surrogatepass")) is None:
            raise StoreRefused(self._server, f"{name!r} is no name of a file in the flat store")
        return b"/" + name.encode()  # [S1] and [S12] address files as /name

    async def _run(
        self,
        what: str,
        work: Callable[[asyncssh.SFTPClient], Awaitable[T]],
        came: Callable[[], int] = lambda: 0,
    ) -> T:
        """Run one operation, in bounded number and time. Raises LostError, NodeError.

        ``came``: how many bytes have come; as long as it grows, the time starts anew.
        """
        async with self._places:
            sftp = await self._sftp()
            self._busy += 1
            try:
                return await self._in_time(what, sftp, work, came)
            except _GONE as error:
                self._forget(sftp)
                raise LostError(started=True) from error
            except (asyncssh.SFTPBadMessage, ValueError) as error:
                self._forget(sftp)
                raise UnexpectedAnswer(self._server, f"{what}: the node's SFTP answer cannot be understood") from error
            except asyncssh.SFTPError as error:
                why = clean(error.reason.encode()).strip() or "no reason given"
                raise StoreRefused(
                    self._server, f"{what} was refused: {why}", hint="see whether the store is full (df)"
                ) from error
            finally:
                self._left(sftp)

    async def _in_time(
        self,
        what: str,
        sftp: asyncssh.SFTPClient,
        work: Callable[[asyncssh.SFTPClient], Awaitable[T]],
        came: Callable[[], int],
    ) -> T:
        """Wait for the operation, but not for what it does when it is cancelled: that asks the silent node again."""
        task = asyncio.ensure_future(work(sftp))
        seen = -1
        try:
            done: set[asyncio.Future[T]] = set()
            while not done and came() != seen:
                seen = came()
                done, _ = await asyncio.wait({task}, timeout=self._seconds)
        except BaseException:
            self._abandon(sftp, task)
            raise
        if not done:
            self._abandon(sftp, task)
            raise AnswerTimeout(
                self._server,
                f"{what} did not end within {self._seconds:g} s",
                hint="run again: what it holds is read first",
            )
        return task.result()

    def _abandon(self, sftp: asyncssh.SFTPClient, task: asyncio.Future[T]) -> None:
        task.add_done_callback(lambda ended: None if ended.cancelled() else ended.exception())
        task.cancel()
        self._forget(sftp)

    def _forget(self, sftp: asyncssh.SFTPClient) -> None:
        sftp.exit()
        if self._client is sftp:
            self._client = None

    async def _sftp(self) -> asyncssh.SFTPClient:
        async with self._lock:
            if self._client is None or self._line is None or self._line.closed:
                self._client = await self._start()
            return self._client

    async def _start(self) -> asyncssh.SFTPClient:
        """Open SFTP on the node's connection, or on one of its own where the node refuses that."""
        if not self._apart:
            self._line = await self._shared()
            try:
                return await self._open(self._line)
            except (DeniedError, RefusedError):
                self._apart = True
                self._line = None
        if self._line is None or self._line.closed:
            self._line = await self._second()
        try:
            return await self._open(self._line)
        except (DeniedError, RefusedError) as error:
            raise StoreRefused(
                self._server, "it gives no access to its files (SFTP)", hint="log in as an administrator of the MMP"
            ) from error

    async def _open(self, line: Line) -> asyncssh.SFTPClient:
        try:
            async with asyncio.timeout(self._seconds):
                for pause in PAUSES[:3]:
                    try:
                        return await line.sftp()
                    except RefusedError:
                        await line.pace.make_room(pause)
                return await line.sftp()
        except TimeoutError as error:
            line.abort()
            raise AnswerTimeout(
                self._server, f"SFTP did not start within {self._seconds:g} s", hint="try again, or see if it is up"
            ) from error


def _fit_name(raw: bytes) -> str | None:
    """Return a name as text; None for what could be a path, hide something, or break a terminal."""
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        return None
    fit = name not in {"", ".", ".."} and len(raw) <= NAME_BYTES and "/" not in name and name.isprintable()
    return name if fit else None


async def _names(sftp: asyncssh.SFTPClient) -> list[bytes]:
    try:
        return await _names_in(sftp, b".")
    except (*_NO_SUCH, asyncssh.SFTPFailure, asyncssh.SFTPPermissionDenied):
        return await _names_in(sftp, b"/")


async def _names_in(sftp: asyncssh.SFTPClient, folder: bytes) -> list[bytes]:
    """Keep the names that a file of ours could have; folders and names of a megabyte count, too, towards the limit."""
    found: list[bytes] = []
    count = 0
    async for entry in sftp.scandir(folder):
        count += 1
        if count > NAMES_LIMIT:
            raise asyncssh.SFTPBadMessage("too many names")
        name = entry.filename if isinstance(entry.filename, bytes) else entry.filename.encode()
        if entry.attrs.type != FILEXFER_TYPE_DIRECTORY and len(name) <= NAME_BYTES:
            found.append(name)
    return found


async def _read(sftp: asyncssh.SFTPClient, path: bytes, *, last: int | None = None) -> bytes | None:
    """Read a file; more than the limit shows in the length. Open, read beside size: two round trips."""
    try:
        file = await sftp.open(path, "rb", encoding=None, block_size=0)
    except _NO_SUCH:
        return None
    try:
        if last is not None:
            size = (await file.stat()).size or 0
            return await _read_on(file, bytearray(), max(0, size - last), last)
        first, size_or_none = await asyncio.gather(_block(file, BLOCK, 0), _size(file))
        if len(first) == size_or_none:
            return first
        return await _read_on(file, bytearray(first), 0, FILE_LIMIT + 1)
    finally:
        _left_open.setdefault(sftp, []).append(file)
        _close_in_time(sftp, beside=LEFT_OPEN)


def _close_in_time(sftp: asyncssh.SFTPClient, *, beside: int) -> None:
    """Close files that were read, but so many; the answers are not waited for."""
    while len(files := _left_open.get(sftp, [])) > beside:
        closing = asyncio.ensure_future(files.pop(0).close())
        _closing.add(closing)
        closing.add_done_callback(_closed)


def _closed(closing: asyncio.Future[None]) -> None:
    _closing.discard(closing)
    _ = closing.cancelled() or closing.exception()  # the file is read: whatever is said to its end changes nothing


async def _read_on(file: asyncssh.SFTPClientFile, read: bytearray, start: int, limit: int) -> bytes:
    """Read to the end: a short answer is not the end, an empty one is."""
    while len(read) < limit:
        part = await _block(file, min(BLOCK, limit - len(read)), start + len(read))
        if not part:
            break
        read += part
    return bytes(read)


async def _fetch(sftp: asyncssh.SFTPClient, path: bytes, take: Sink, start: int) -> bool:
    """Read some blocks ahead, up to the size that the node tells; the end is where an answer is empty."""
    try:
        file = await sftp.open(path, "rb", encoding=None, block_size=0)
    except _NO_SUCH:
        return False
    try:
        size = await _size(file)
        while True:
            left = None if size is None else -(-(size - start) // BLOCK)
            came = await _ahead(file, take, start, BLOCKS_AHEAD if left is None else min(max(left, 1), BLOCKS_AHEAD))
            if came is None:
                return True
            start += came
    finally:
        await file.close()


async def _ahead(file: asyncssh.SFTPClientFile, take: Sink, start: int, blocks: int) -> int | None:
    """Hand on some blocks as they come, and return how many bytes they had; None at the end of the file."""
    came = 0
    asked = [asyncio.ensure_future(_block(file, BLOCK, start + at * BLOCK)) for at in range(blocks)]
    try:
        for each in asked:
            part = await each
            if not part:
                return None
            take(part)
            came += len(part)
            if len(part) < BLOCK:
                break
    finally:
        for each in asked:
            each.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    return came


async def _block(file: asyncssh.SFTPClientFile, size: int, start: int) -> bytes:
    part: bytes = await file.read(size, start)
    return part


async def _size(file: asyncssh.SFTPClientFile) -> int | None:
    """Return a file's size by its handle; None where the node does not tell."""
    try:
        return (await file.stat()).size
    except asyncssh.SFTPError:
        return None


async def _write(sftp: asyncssh.SFTPClient, path: bytes, content: bytes) -> int | None:
    _close_in_time(sftp, beside=0)
    file = await sftp.open(path, "wb", encoding=None)
    try:
        await file.write(content)
        return await _size(file)
    finally:
        await file.close()


async def _remove(sftp: asyncssh.SFTPClient, path: bytes) -> None:
    _close_in_time(sftp, beside=0)
    try:
        await sftp.remove(path)
    except _NO_SUCH:
        return
