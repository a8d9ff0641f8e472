"""Material that a node makes itself, and its copies on other nodes (procedure section 2, steps 2 to 9).

Keys pass through memory from one store to another and are written to no disk of ours.
"""

from __future__ import annotations

from collections.abc import Mapping

from cmscert.apply.questions import behind
from cmscert.apply.sending import Attempt, Material, Scribe, digest, send
from cmscert.errors import InputError, StoreRefused, UnexpectedAnswer
from cmscert.model.plan import CopyFile, MintDatabase
from cmscert.pki.certificate import Certificate
from cmscert.pki.chain import issued_by
from cmscert.pki.pem import read_certificates
from cmscert.transport.session import WriteSession


async def mint(session: WriteSession, action: MintDatabase, attempt: Attempt, scribe: Scribe) -> None:
    """Let a node make a CA and two pairs, and prove by reading that it did.

    Raises NodeError; UnexpectedAnswer when a basename is in use by now, or what was made is not what was asked for.
    """
    basenames = (action.ca, action.server, action.client)
    taken = sorted({name for name in await session.list_files() if name.rpartition(".")[0] in basenames})
    if taken:
        raise UnexpectedAnswer(session.server, f"{taken[0]} is there since the plan was made: plan again")
    await send(session, action, attempt, material=Material(contents={}, keys={}), scribe=scribe)
    listed = await session.list_files()
    missing = [f"{name}.key" for name in basenames if f"{name}.key" not in listed]
    if missing:
        raise StoreRefused(session.server, f"there is no {missing[0]} after it was made")
    ca, server, client = [await _read(session, f"{name}.crt") for name in basenames]
    for leaf, wanted in ((server, action.server_common_name), (client, action.client_common_name)):
        if leaf.common_name != wanted or not issued_by(leaf, ca):
            raise UnexpectedAnswer(
                session.server, f"what was made for {wanted} is not signed by {action.ca}, or not its"
            )


async def copy(
    session: WriteSession, sources: Mapping[str, WriteSession], action: CopyFile, attempt: Attempt, scribe: Scribe
) -> None:
    """Copy a file from another node and read it back. Raises NodeError."""
    source = sources.get(action.source)
    if source is None:
        raise StoreRefused(session.server, f"{action.source} could not be reached, and {action.file} is there")
    get, put = attempt.lines
    await scribe.sending(get)
    attempt.sent += 1
    content = await behind(source).read_file(action.file)
    if content is None:
        raise StoreRefused(session.server, f"there is no {action.file} on {action.source}")
    scribe.received(get, f"{len(content)} bytes", 0.0)
    await scribe.sending(put)
    attempt.sent += 1
    attempt.put[action.file] = digest(content)
    await session.put_file(action.file, content)
    scribe.received(put, "", 0.0)
    if await session.read_file(action.file) != content:
        raise StoreRefused(session.server, f"{action.file} does not read back as it was put")


async def _read(session: WriteSession, name: str) -> Certificate:
    content = await session.read_file(name)
    if content is None:
        raise StoreRefused(session.server, f"there is no {name} after it was made")
    try:
        return read_certificates(content, file=name)[0]
    except InputError as error:
        raise UnexpectedAnswer(session.server, f"{name} holds no certificate after it was made") from error
