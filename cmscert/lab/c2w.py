"""The link from a call bridge to a web bridge 3, as real mutual TLS ([S25], facts 4.4)."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Final

from cryptography import x509

from cmscert.lab import material, tls
from cmscert.lab.node import LabNode

_SECONDS: Final = 5.0


async def link(callbridge: LabNode, webbridge: LabNode) -> str | None:
    """Connect with what both sides have loaded. Returns None when the link works, else the reason."""
    loaded = callbridge.machine.services["callbridge"].loaded.get("callbridge")
    if not callbridge.up("callbridge") or loaded is None:
        return "call bridge is down"
    port = webbridge.port("webbridge3/c2w")
    if port is None:
        return "web bridge has no c2w port"
    context = tls.client_context(loaded, callbridge.loaded_trust("callbridge/trust-c2w"))
    try:
        async with asyncio.timeout(_SECONDS):
            return await _greet(context, webbridge, port)
    except ConnectionRefusedError:
        return "web bridge is down"
    except ssl.SSLCertVerificationError as error:
        return f"call bridge refuses the web bridge: {error.verify_message}"
    except (OSError, TimeoutError) as error:
        return f"web bridge refuses the call bridge: {error}"


async def _greet(context: ssl.SSLContext, webbridge: LabNode, port: int) -> str | None:
    reader, writer = await asyncio.open_connection(webbridge.spec.bind, port, ssl=context)
    try:
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        if not material.answers_to(x509.load_der_x509_certificate(shown), webbridge.spec.fqdn):
            return f"call bridge refuses the web bridge: {webbridge.spec.fqdn} is not in its certificate"
        greeting = await reader.read(len(tls.GREETING))
        return None if greeting == tls.GREETING else "web bridge refuses the call bridge: connection closed"
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
