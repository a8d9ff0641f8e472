"""What each reason of drift means, in the sentence that its section in docs/reference/reasons.md begins with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from cmscert.model.origin import OriginKind
from cmscert.model.plan import Drift
from cmscert.reports.plain import counted, moment

MEANINGS: Final[Mapping[str, str]] = {
    "not-bound": "No key or no certificate is bound to the slot.",
    "file-missing": "A file is bound, and it is not in the store.",
    "not-a-certificate": "The bound certificate file holds no certificate.",
    "leaf-differs": "Another certificate is bound than the wanted one.",
    "chain-differs": (
        "The right certificate is bound, and the certificates behind it in the file are not the wanted ones."
    ),
    "chain-order": "The file holds the right certificates, and not leaf first and root last.",
    "bundle-missing": "A CA bundle is wanted, and none is bound.",
    "bundle-differs": "The bound CA bundle holds other certificates than wanted.",
    "expires-soon": "The bound certificate is due: less is left than policy.renew_when says.",
    "not-loaded": "The file is right, and the service still serves what it loaded before.",
    "stopped-by-run": "A run stopped the service and did not start it again: it died, or its way back failed.",
    "load-unproven": (
        "A run broke off after it had begun to change the service, and no TLS port tells whether the service "
        "has loaded what is bound."
    ),
    "upload-unproven": (
        "A run broke off while it uploaded the bound key under a name in use (naming: fixed), and the server "
        "does not say that it belongs to the certificate."
    ),
    "to-take-back": "A slot holds what a run left there, and is to hold again what it held before.",
    "not-answering": "The service is enabled, and its TLS port is closed.",
    "trust-missing": "No trust list is bound.",
    "trust-lacks": "The trust list lacks certificates that are wanted.",
    "trust-exceeds": "The trust list holds more than is wanted.",
    "release-differs": "The server runs another release than the inventory says.",
    "not-issued": "The certificate is to come from an issuer, and is not there yet.",
    "no-such-service": "The release on the server does not have the service, or the slot.",
    "database-not-joined": "A server that belongs to a database cluster is in none.",
    "database-server-differs": "The database uses another server certificate than the wanted one.",
    "database-client-differs": "The database uses another client certificate than the wanted one.",
    "database-ca-differs": "The database uses another CA than wanted, or than the member that holds the data.",
    "database-key-mismatch": (
        "The server itself says that the key that the database uses does not belong to its certificate."
    ),
    "database-expired": "The database status says that certificates have ended.",
    "database-due": "Material from the CA built into CMS is due, its CA included.",
    "database-role": "A node is connected as a client, or a client is a node.",
    "database-error": "The database status of the server shows an error.",
    "database-out-of-sync": "A database member is not connected, or its copy is behind.",
    "key-mismatch": "The key does not belong to the certificate.",
    "names-missing": "The certificate lacks names that the inventory declares.",
    "expired": "The certificate has ended.",
    "bundle-order": "The bundle does not have the issuing CA first and the root last.",
}


MOST_WHYS = 4
"""Why findings cannot be told apart: as many reasons as a report names."""


def meaning(reason: str) -> str:
    """Return what a reason means; one that this release does not know stands for itself."""
    return MEANINGS.get(reason, reason)


ORIGINS: Final[Mapping[OriginKind, str]] = {
    "server": "changed on the server",
    "inventory": "the inventory asks for more",
    "time": "by time alone",
    "unknown": "cannot be told",
}


def origin_word(drift: Drift) -> OriginKind:
    """Return where a difference comes from, in one word."""
    return "unknown" if drift.origin is None else drift.origin.kind


def origin_told(drift: Drift) -> str | None:
    """Say where a difference comes from; None where that cannot be told."""
    origin = drift.origin
    if origin is None or origin.kind == "unknown":
        return None
    since = "" if origin.at is None or origin.kind == "time" else f" since {moment(origin.at)}"
    return ORIGINS[origin.kind] + since


def untold(findings: Iterable[Drift]) -> tuple[str, ...]:
    """Say once of how many findings nobody can tell where they come from, reason by reason."""
    whys = Counter(drift.origin.why for drift in findings if drift.origin is not None and drift.origin.why is not None)
    return tuple(
        f"Whether people or the inventory brought {counted(number, 'difference')} about cannot be told: {why}."
        for why, number in whys.most_common(MOST_WHYS)
    )


def until(drift: Drift) -> str:
    """Say until which day ``policy.ignore`` leaves a difference alone, behind the words that say that it does."""
    return "" if drift.ignored_until is None else f" until {drift.ignored_until}"
