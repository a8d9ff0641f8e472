"""The flat file store of a lab node over real SFTP, honest and lying."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import asyncssh
import pytest

from cmscert.lab.node import LabNode
from cmscert.lab.spec import Faults

StartNode = Callable[..., Awaitable[LabNode]]
Login = Callable[..., Awaitable[asyncssh.SSHClientConnection]]
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]


async def test_sftp_store(start_node: StartNode, login: Login) -> None:
    """Put, overwrite, read, list and remove in the flat root; ``log`` and ``live.json`` are read only."""
    node = await start_node(files={"a.crt": b"old"})
    async with (await login(node)).start_sftp_client() as sftp:
        async with sftp.open("/a.crt", "wb") as file:
            await file.write(b"new and longer")
        async with sftp.open("b.crt", "wb") as file:
            await file.write(b"tail", 4)
        assert node.files == {"a.crt": b"new and longer", "b.crt": b"\0\0\0\0tail"}
        async with sftp.open("a.crt", "ab") as file:
            await file.write(b"!")
        async with sftp.open("a.crt", "r+b") as file:
            await file.write(b"N", 0)
            assert (await file.stat()).size == 15
        assert await (await sftp.open("a.crt", "rb")).read() == b"New and longer!"
        assert (await sftp.stat("a.crt")).size == 15
        assert await sftp.isdir("/")
        assert await sftp.realpath("./x/../a.crt") == "/a.crt"
        assert set(await sftp.listdir("/")) == {".", "..", "log", "live.json", "a.crt", "b.crt"}
        await sftp.remove("b.crt")
    assert set(node.files) == {"a.crt"}


async def test_sftp_refusals(start_node: StartNode, login: Login) -> None:
    """What the store does not have or cannot do is refused, and nothing changes."""
    node = await start_node(files={"a.crt": b"a"})
    async with (await login(node)).start_sftp_client() as sftp:
        for path in ("missing", "folder/a.crt", b"\xff"):
            with pytest.raises(asyncssh.SFTPNoSuchFile):
                await sftp.open(path, "rb")
        with pytest.raises(asyncssh.SFTPNoSuchFile):
            await sftp.remove("missing")
        with pytest.raises(asyncssh.SFTPNoSuchFile):
            await sftp.listdir("folder")
        with pytest.raises(asyncssh.SFTPNoSuchFile):
            await sftp.open("missing", asyncssh.FXF_WRITE)
        with pytest.raises(asyncssh.SFTPFailure):
            await sftp.open("a.crt", asyncssh.FXF_WRITE | asyncssh.FXF_CREAT | asyncssh.FXF_EXCL)
        for path in ("log", "live.json", "folder/a.crt", "/"):
            with pytest.raises(asyncssh.SFTPPermissionDenied):
                await sftp.open(path, "wb")
        async with sftp.open("a.crt", "rb") as file:
            with pytest.raises(asyncssh.SFTPPermissionDenied):
                await file.write(b"x")
        for refused in (
            sftp.rename("a.crt", "b.crt"),
            sftp.posix_rename("a.crt", "b.crt"),
            sftp.chmod("a.crt", 0o600),
            sftp.mkdir("folder"),
            sftp.symlink("a.crt", "b.crt"),
        ):
            with pytest.raises(asyncssh.SFTPOpUnsupported):
                await refused
    assert node.files == {"a.crt": b"a"}


async def _put(node: LabNode, login: Login, name: str, content: bytes) -> None:
    async with (await login(node)).start_sftp_client() as sftp, sftp.open(name, "wb") as file:
        await file.write(content)


@pytest.mark.parametrize(
    ("faults", "kept"),
    [
        (Faults(truncate_uploads=2), b"ne"),
        (Faults(corrupt_uploads=True), b"ndw"),
        (Faults(lie=("put",)), b"old"),
        (Faults(lie=("put other",)), b"new"),
    ],
)
async def test_uploads_that_report_success_and_are_not(
    start_node: StartNode, login: Login, faults: Faults, kept: bytes
) -> None:
    """Only reading back shows what the store really holds."""
    node = await start_node(files={"a.crt": b"old"}, faults=faults)
    await _put(node, login, "a.crt", b"new")
    assert node.files["a.crt"] == kept


@pytest.mark.parametrize("faults", [Faults(store_full=True), Faults(fail={"put a": "no"})])
async def test_uploads_that_fail(start_node: StartNode, login: Login, faults: Faults) -> None:
    """A full store keeps what it had."""
    node = await start_node(files={"a.crt": b"old"}, faults=faults)
    with pytest.raises(asyncssh.SFTPFailure):
        await _put(node, login, "a.crt", b"new")
    assert node.files["a.crt"] == b"old"


async def test_removals_that_do_not_happen(start_node: StartNode, login: Login) -> None:
    """A lying or failing removal leaves the file."""
    node = await start_node(files={"a.crt": b"a"}, faults=Faults(lie=("rm",)))
    async with (await login(node)).start_sftp_client() as sftp:
        await sftp.remove("a.crt")
        node.faults = Faults(fail={"rm": "no"})
        with pytest.raises(asyncssh.SFTPFailure):
            await sftp.remove("a.crt")
    assert node.files == {"a.crt": b"a"}
    assert node.history == ["rm a.crt"]


async def test_an_upload_that_is_cut_leaves_a_part(start_node: StartNode, login: Login, eventually: Eventually) -> None:
    """What arrived before the connection ended is in the store."""
    node = await start_node()
    connection = await login(node)
    sftp = await connection.start_sftp_client()
    file = await sftp.open("a.crt", "wb")
    await file.write(b"half")
    connection.abort()
    await connection.wait_closed()
    await eventually(lambda: "a.crt" in node.files)
    assert node.files["a.crt"] == b"half"
