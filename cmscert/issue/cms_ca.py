"""The issuer ``cms_ca``: the CA built into CMS signs, on the server that holds it (procedure section 2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from cmscert.errors import InputError, NodeError
from cmscert.issue.issuers import Asked, Issued
from cmscert.mmp.database import pki_selfsigned, pki_sign
from cmscert.mmp.replies import is_unknown_command, verdict
from cmscert.model.commands import Command
from cmscert.pki.certificate import Certificate
from cmscert.pki.pem import read_certificates
from cmscert.transport.session import WriteSession


@dataclass(frozen=True, slots=True, kw_only=True)
class CmsCa:
    """Signs on a server.

    ``basename``: of the CA's key and certificate there; it is made when neither is there. ``session``: to that server.
    ``mark``: returns letters and digits that make a file name unused.
    """

    name: str
    basename: str
    common_name: str
    session: WriteSession = field(repr=False)
    mark: Callable[[], str] = field(repr=False)
    _one: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    async def obtain(self, asked: Asked) -> Issued:
        """Put the request beside the CA, let it sign, fetch the certificate, and take both away again.

        Raises IssuerError.
        """
        try:
            async with self._one:  # of two questions at once, one makes the CA
                ca = await self._authority(asked)
            return Issued(chain=(*await self._signed(asked), *ca))
        except NodeError as error:
            raise asked.fault(self.name, error.message, hint=error.hint) from error
        except InputError as error:
            raise asked.fault(self.name, "; ".join(map(str, error.faults))) from error

    async def _authority(self, asked: Asked) -> tuple[Certificate, ...]:
        """Return the CA's certificate; a CA that is there in part only is never made over."""
        files = (f"{self.basename}.key", f"{self.basename}.crt")
        listed = await self.session.list_files()
        there = [name for name in files if name in listed]
        if not there:
            await self._do(asked, pki_selfsigned(self.basename, self.common_name, listed))
        elif len(there) < len(files):
            message = f"{self.session.server} has {there[0]} and not the other half of its CA"
            raise asked.fault(self.name, message, hint="name another basename for this issuer, or put the file back")
        return await self._read(asked, files[1])

    async def _signed(self, asked: Asked) -> tuple[Certificate, ...]:
        stem = f"cmscert-sign-{self.mark()}"
        request, certificate = f"{stem}.csr", f"{stem}.crt"
        command = pki_sign(stem, self.basename, await self.session.list_files())
        await self.session.put_file(request, asked.csr)
        try:
            await self._do(asked, command)
            return await self._read(asked, certificate)
        finally:
            for name in (request, certificate):
                await self.session.remove_file(name)

    async def _do(self, asked: Asked, command: Command) -> None:
        reply = await self.session.do(command)
        if verdict(reply.text).failed or is_unknown_command(reply.text):
            raise asked.fault(self.name, f"{self.session.server} answered {command} with: {reply.shown}")

    async def _read(self, asked: Asked, name: str) -> tuple[Certificate, ...]:
        content = await self.session.read_file(name)
        if content is None:
            raise asked.fault(self.name, f"there is no {name} on {self.session.server} after it was made")
        return read_certificates(content, file=name)
