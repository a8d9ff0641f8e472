"""What the material store holds, told without asking a server."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import pytest

from cmscert.app.store_status import store_status
from cmscert.app.supplies import open_store
from cmscert.pki.generate import make_key
from cmscert.pki.request import make_request
from cmscert.reports.schemas import report_schemas
from cmscert.reports.store_text import store_document, store_text
from cmscert.testing.ca import Issued
from cmscert.testing.inventories import SMALL, Folder

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ISSUED = SMALL.replace('files: {certificate: "pki/{name}.crt", key: "pki/{name}.key"}', "issuer: corp").replace(
    "servers:\n", "issuers: {corp: {type: directory, requests: csr, certificates: signed}}\nservers:\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Give an inventory of two issued certificates; core1 has an old and a new one, core2 only failures."""
    made = Folder(tmp_path).write(ISSUED).mint()
    store = open_store(made.outline(), keys=True)
    for at in (NOW - timedelta(days=100), NOW - timedelta(days=5)):
        issue(made, at, on_server=at > NOW - timedelta(days=50))
    key = make_key("ec")
    csr = make_request(key, common_name="core2.example.com")
    store.put_pending("node", "core2", csr=csr, key=key, issuer="corp", at=NOW)
    store.fail("node", "core2", "the folder is full", issuer="corp", at=NOW)
    return made


def issue(folder: Folder, at: datetime, *, on_server: bool) -> None:
    """Put a certificate of 90 days into the store."""
    pair: Callable[..., Issued] = folder.cas["corp"].issue
    made = pair("core1.example.com", not_before=at, not_after=at + timedelta(days=90))
    from cmscert.pki.keys import read_key

    key = read_key(made.key_pem, file="made")
    csr = make_request(key, common_name="core1.example.com")
    store = open_store(folder.outline(), keys=True)
    store.put_pending(
        "node",
        "core1",
        csr=csr,
        key=None if on_server else key,
        device_key="node-1.key" if on_server else None,
        issuer="corp",
        at=at,
    )
    store.accept("node", "core1", (made.certificate, *folder.cas["corp"].bundle), issuer="corp", at=at)


def test_revisions_requests_and_failures_are_shown(folder: Folder) -> None:
    """Newest first, with where the key is; a request that waits and a failure say since when."""
    text = store_text(store_status(folder.inventory, now=NOW), width=120)

    assert text.splitlines() == [
        "Material store of small · .cmscert · 2026-11-23 12:00 UTC",
        "",
        "node for core1",
        "  2026-11-18  until 2027-02-16 (85 days left), due 2027-01-17; issuer corp; key node-1.key on the server",
        "  2026-08-15  until 2026-11-13 (expired), due 2026-10-14; issuer corp; key in store",
        "",
        "node for core2",
        "  asked   on 2026-11-23, not signed yet; issuer corp",
        "  failed  1 time in a row: the folder is full; next try 2026-11-23 12:15 UTC",
    ]


def test_the_document_fits_its_schema(folder: Folder) -> None:
    """Machines get the same, and no key."""
    document = store_document(store_status(folder.inventory, now=NOW))
    jsonschema.validate(document, report_schemas()["store"])

    assert "PRIVATE" not in json.dumps(document)
    assert [len(row["revisions"]) for row in document["certificates"]] == [2, 0]  # type: ignore[attr-defined,call-overload,index]  # plain JSON


def test_an_empty_store_says_what_to_do(tmp_path: Path) -> None:
    """What was never asked for is said, and so is an inventory without issuers."""
    folder = Folder(tmp_path).write(ISSUED).mint()
    empty = store_text(store_status(folder.inventory, now=NOW))
    folder.write(SMALL)

    assert "nothing  run cmscert renew; issuer corp" in empty
    assert "No certificate of this inventory comes from an issuer" in store_text(
        store_status(folder.inventory, now=NOW)
    )
