"""When CAs themselves would renew (ARI, RFC 9773): asked by ``renew``, kept in the store, known to every command."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from cmscert.app.ports import Note
from cmscert.app.supplies import issued_uses, open_store, suggestions_in
from cmscert.errors import LockHeld
from cmscert.inventory.outline import AcmeIssuer, Outline
from cmscert.issue.renewal_info import Window, read_windows, write_windows
from cmscert.issue.store import Store
from cmscert.pki.certificate import Certificate


def with_suggestions(outline: Outline) -> Outline:
    """Return the inventory with what its CAs suggested when they were last asked; nobody is asked."""
    if not any(isinstance(declared, AcmeIssuer) for declared in outline.issuers.values()):
        return outline
    moments = suggestions_in(open_store(outline, keys=False), outline)
    due = replace(outline.policy.renew_when, suggested=moments)
    return replace(outline, policy=replace(outline.policy, renew_when=due))


async def ask_suggestions(outline: Outline, now: datetime, note: Note) -> None:
    """Ask the ACME CAs about the certificates in store, as often as they wish, and keep what they say.

    A CA that fails costs nothing but its advice: ``policy.renew_when`` holds then.
    """
    for name, declared in outline.issuers.items():
        if not isinstance(declared, AcmeIssuer):
            continue
        store = open_store(outline, keys=False)
        leaves = _leaves(outline, store, name, now)
        known = store.issuer(name)
        windows = read_windows(known.facts) if known is not None else {}
        stale = [leaf for leaf in leaves if leaf.sha256 not in windows or windows[leaf.sha256].again <= now]
        if not stale:
            continue
        from cmscert.issue.acme_renewal import ask_windows  # late: the ACME library costs a fifth of a second

        found, why = await ask_windows(declared.directory, stale, windows, at=now, ca_bundle=declared.ca_bundle)
        if why is not None:
            note("no renewal information", issuer=name, why=why)
        kept = {leaf.sha256: windows[leaf.sha256] for leaf in leaves if leaf.sha256 in windows} | found
        _keep(store, name, kept, note)


def _leaves(outline: Outline, store: Store, issuer: str, now: datetime) -> list[Certificate]:
    """Return the certificates in store that an issuer delivered; about one that has ended nobody must be asked."""
    uses = (use for use, certificate in issued_uses(outline).items() if certificate.issuer == issuer)
    latest = (store.latest(*use) for use in uses)
    return [one.chain[0] for one in latest if one is not None and one.issuer == issuer and one.chain[0].not_after > now]


def _keep(store: Store, issuer: str, windows: dict[str, Window], note: Note) -> None:
    try:
        with store.held():
            known = store.issuer(issuer)
            store.note_issuer(issuer, write_windows(known.facts if known is not None else {}, windows))
    except LockHeld as error:
        note("renewal information not kept", issuer=issuer, why=error.message)
