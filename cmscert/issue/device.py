"""Keys that a node makes itself: ``pki csr`` under a basename that was never used there, and the request fetched.

A basename in use takes its service down at once (the TechNote warns), so the node's own list of files decides.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from cmscert.errors import Fault, InputError, StoreRefused, UnexpectedAnswer
from cmscert.mmp.csr import Request, csr_command, faults
from cmscert.mmp.replies import is_unknown_command, verdict
from cmscert.pki.request import WantedRequest, read_request, request_faults
from cmscert.transport.session import WriteSession

LOOKS: Final = 20
"""How often to look for the files of a request, a second apart: a 2048-bit key takes a node a few seconds ([UNK])."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A request that a node made: PEM, and the file of the key, which stays there."""

    csr: bytes
    key_file: str


async def make_on_node(
    session: WriteSession, request: Request, wanted: WantedRequest, *, sleep: Callable[[float], Awaitable[None]]
) -> Made:
    """Let a node make a key and a request, fetch the request and hold it against what was asked for.

    Raises InputError for a request that the node would not take or that is not what was asked for, and NodeError.
    """
    listed = await session.list_files()
    wrong = faults(request, listed)
    if wrong:
        raise InputError([Fault(message=f"{session.server}: pki csr: {each}", reason="request") for each in wrong])
    reply = await session.do(csr_command(request, listed))
    if verdict(reply.text).failed or is_unknown_command(reply.text):
        raise UnexpectedAnswer(session.server, f"pki csr {request.basename} was answered with: {reply.shown}")
    key_file, csr_file = f"{request.basename}.key", f"{request.basename}.csr"
    await _there(session, (key_file, csr_file), sleep)
    content = await session.read_file(csr_file)
    if content is None:
        raise StoreRefused(session.server, f"{csr_file} is listed and cannot be read")
    found = request_faults(read_request(content, file=csr_file), wanted)
    if found:
        where = f"{session.server}: {csr_file}"
        raise InputError([Fault(message=f"{where}: {each.message}", reason=each.reason) for each in found])
    return Made(csr=content, key_file=key_file)


async def _there(session: WriteSession, names: tuple[str, ...], sleep: Callable[[float], Awaitable[None]]) -> None:
    for _ in range(LOOKS):
        listed = await session.list_files()
        missing = [name for name in names if name not in listed]
        if not missing:
            return
        await sleep(1.0)
    raise StoreRefused(session.server, f"there is no {' and no '.join(missing)} after pki csr")
