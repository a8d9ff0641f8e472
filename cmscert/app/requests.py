"""Requests that are under way: what one must ask for, and whether the inventory still asks for it."""

from __future__ import annotations

from collections.abc import Mapping

from cmscert.inventory.outline import CertificateOutline
from cmscert.issue.store import Pending, Store
from cmscert.pki.request import WantedRequest, read_request, request_faults


def wanted_request(certificate: CertificateOutline, subject: Mapping[str, str], spki: str | None) -> WantedRequest:
    """Say what a request must ask for; what kind of key a server makes is not known ([UNK])."""
    local = certificate.key_made == "local"
    return WantedRequest(
        common_name=certificate.common_name,
        sans=certificate.sans,
        attributes=subject,
        key_type=certificate.key_type if local else None,
        key_bits=certificate.key_bits if local else None,
        spki=spki,
    )


def kept_request(store: Store, certificate: CertificateOutline, subject: Mapping[str, str]) -> Pending | None:
    """Return the request that is under way, if the inventory still asks for what it asks for.

    Raises InputError when it is damaged.
    """
    pending = store.pending(certificate.name, certificate.server)
    if pending is None or pending.issuer != certificate.issuer:
        return None
    if (pending.device_key is not None) != (certificate.key_made == "device"):
        return None
    request = read_request(pending.csr, file=f"{certificate.name}.csr")
    return None if request_faults(request, wanted_request(certificate, subject, pending.spki)) else pending
