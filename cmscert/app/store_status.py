"""``status --store``: what the material store holds for an inventory; no server is asked."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from cmscert.app.suggestions import with_suggestions
from cmscert.app.supplies import issued_uses, open_store, store_path
from cmscert.inventory.load import read_bundles
from cmscert.issue.store import Stored
from cmscert.model.desired import Due
from cmscert.model.results import StoredCertificate, StoredRevision, StoreStatus
from cmscert.pki.certificate import Certificate
from cmscert.pki.chain import full_chain
from cmscert.planning.due import due_at, end_of


def store_status(inventory: Path, *, now: datetime) -> StoreStatus:
    """Say what is in store for every certificate of an issuer, newest revision first. Raises InputError."""
    outline, bundles = read_bundles(inventory)
    renew_when = with_suggestions(outline).policy.renew_when
    store = open_store(outline, keys=False)
    rows = []
    for use, certificate in issued_uses(outline).items():
        record = store.record(*use)
        failed = record.failed(certificate.issuer or "")
        bundle = bundles.get(certificate.chain or "", ())
        rows.append(
            StoredCertificate(
                certificate=use[0],
                server=use[1],
                issuer=certificate.issuer or "",
                revisions=tuple(_revision(each, bundle, renew_when) for each in store.revisions(*use)),
                asked_at=None if record.waiting is None else record.waiting.at,
                failures=0 if failed is None else failed.count,
                failed=None if failed is None else failed.message,
                next_try=None if failed is None else failed.next,
            )
        )
    folder = store_path(outline)
    shown = folder.relative_to(outline.folder) if folder.is_relative_to(outline.folder) else folder
    return StoreStatus(made_at=now, fleet=outline.fleet, folder=str(shown), rows=tuple(rows))


def _revision(stored: Stored, bundle: tuple[Certificate, ...], renew_when: Due) -> StoredRevision:
    """Tell of a certificate when it is due and ends with the bundle of today, as every other command does."""
    chain = full_chain(stored.chain[0], stored.chain, bundle)
    return StoredRevision(
        chain=stored.chain,
        issuer=stored.issuer,
        at=stored.at,
        device_key=stored.device_key,
        due_at=due_at(chain, renew_when),
        ends=end_of(chain),
    )
