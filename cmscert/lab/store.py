"""The flat file store behind SFTP (facts section 2): no folders, no rename, no permissions."""

from __future__ import annotations

import posixpath
import stat
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import asyncssh

from cmscert.lab.node import LabNode

_READ_ONLY: Final = ("log", "live.json")


@dataclass(kw_only=True, eq=False, slots=True)
class OpenFile:
    """A file that a client has open. ``content`` becomes the file's when it is closed after a write."""

    name: str
    content: bytearray
    writes: bool = False
    failed: bool = False
    appends: bool = False


def _unsupported(*_arguments: object) -> NoReturn:
    raise asyncssh.SFTPOpUnsupported("operation unsupported")


_refuse: Callable[..., Any] = _unsupported


class Store(asyncssh.SFTPServer):
    """Serves one SFTP session of a node."""

    def __init__(self, chan: asyncssh.SSHServerChannel[bytes], node: LabNode) -> None:
        super().__init__(chan)
        self._node = node
        self._since = int(time.time())

    def _name(self, path: bytes) -> str:
        """Return the name behind ``/name`` or ``name``; the empty one is the root. Raises SFTPError."""
        try:
            text = posixpath.normpath("/" + path.decode())
        except UnicodeDecodeError as error:
            raise asyncssh.SFTPNoSuchFile("no such file") from error
        return text.lstrip("/")

    def _content(self, path: bytes) -> bytes:
        name = self._name(path)
        made = {"log": self._node.log_file, "live.json": self._node.live_json}
        if name in made:
            return made[name]()
        if name not in self._node.files:
            raise asyncssh.SFTPNoSuchFile("no such file")
        return self._node.files[name]

    def _writable(self, path: bytes) -> str:
        name = self._name(path)
        if not name or "/" in name or name in _READ_ONLY:
            raise asyncssh.SFTPPermissionDenied("permission denied")
        return name

    def realpath(self, path: bytes) -> bytes:
        """Return the path in the root."""
        return b"/" + self._name(path).encode()

    def _attributes(self, size: int | None) -> asyncssh.SFTPAttrs:
        kind = stat.S_IFDIR | 0o755 if size is None else stat.S_IFREG | 0o644
        return asyncssh.SFTPAttrs(size=size or 0, uid=0, gid=0, permissions=kind, atime=self._since, mtime=self._since)

    def stat(self, path: bytes) -> asyncssh.SFTPAttrs:
        """Tell the size of a file, or that the root is a folder."""
        return self._attributes(len(self._content(path)) if self._name(path) else None)

    lstat = stat

    def fstat(self, file_obj: object) -> asyncssh.SFTPAttrs:
        """Tell the size of an open file."""
        assert isinstance(file_obj, OpenFile)
        return self._attributes(len(file_obj.content))

    async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        """List the root."""
        if self._name(path):
            raise asyncssh.SFTPNoSuchFile("no such folder")
        for name in (".", "..", *_READ_ONLY, *self._node.files):
            attributes = self._attributes(None if name.strip(".") == "" else len(self._content(name.encode())))
            letters = stat.filemode(attributes.permissions or 0)
            row = f"{letters}    1 admin    admin    {attributes.size:>8} Jan  1 00:00 {name}"
            yield asyncssh.SFTPName(name.encode(), row.encode(), attributes)

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:  # noqa: ARG002 - fixed signature
        """Open a file; a new one appears when it is closed."""
        if not pflags & (asyncssh.FXF_WRITE | asyncssh.FXF_APPEND):
            content = self._content(path)
            words = ["get", self._name(path)]
            await self._await_turn(words)
            self._node.note_transfer(" ".join(words))
            return OpenFile(name=words[1], content=bytearray(content))
        name = self._writable(path)
        exists = name in self._node.files
        if not exists and not pflags & asyncssh.FXF_CREAT:
            raise asyncssh.SFTPNoSuchFile("no such file")
        if exists and pflags & asyncssh.FXF_EXCL:
            raise asyncssh.SFTPFailure("file exists")
        await self._await_turn(["put", name])
        self._node.note_transfer(f"put {name}")
        kept = b"" if pflags & asyncssh.FXF_TRUNC else self._node.files.get(name, b"")
        return OpenFile(name=name, content=bytearray(kept), writes=True, appends=bool(pflags & asyncssh.FXF_APPEND))

    async def _await_turn(self, words: list[str]) -> None:
        if self._node.faults.down:
            raise asyncssh.SFTPConnectionLost("connection lost")
        text = self._node.failing(words)
        if text is not None:
            raise asyncssh.SFTPFailure(text)
        await self._node.linger(words)

    def read(self, file_obj: object, offset: int, size: int) -> bytes:
        """Read a part."""
        assert isinstance(file_obj, OpenFile)
        return bytes(file_obj.content[offset : offset + size])

    def write(self, file_obj: object, offset: int, data: bytes) -> int:
        """Write a part."""
        assert isinstance(file_obj, OpenFile)
        if not file_obj.writes:
            raise asyncssh.SFTPPermissionDenied("permission denied")
        if self._node.faults.store_full:
            file_obj.failed = True
            raise asyncssh.SFTPFailure("no space left")
        if file_obj.appends:
            offset = len(file_obj.content)
        if offset > len(file_obj.content):
            file_obj.content.extend(bytes(offset - len(file_obj.content)))
        file_obj.content[offset : offset + len(data)] = data
        return len(data)

    def close(self, file_obj: object) -> None:
        """Keep what was written, as far as the node is honest about it."""
        assert isinstance(file_obj, OpenFile)
        faults = self._node.faults
        if not file_obj.writes or file_obj.failed or self._node.faulty(["put", file_obj.name], faults.lie):
            return
        content = bytes(file_obj.content[: faults.truncate_uploads])
        if faults.corrupt_uploads and content:
            middle = len(content) // 2
            content = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        self._node.files[file_obj.name] = content

    async def remove(self, path: bytes) -> None:
        """Remove a file."""
        name = self._writable(path)
        if name not in self._node.files:
            raise asyncssh.SFTPNoSuchFile("no such file")
        words = ["rm", name]
        await self._await_turn(words)
        self._node.note_transfer(" ".join(words))
        if not self._node.faulty(words, self._node.faults.lie):
            del self._node.files[name]

    setstat = lsetstat = fsetstat = mkdir = rmdir = rename = posix_rename = _refuse
    readlink = symlink = link = statvfs = fstatvfs = fsync = lock = unlock = _refuse
