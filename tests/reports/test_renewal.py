"""A renewal in words and as a document."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import jsonschema

from cmscert.model.results import RenewReport, RenewRow
from cmscert.reports.renewal import renew_document, renew_text
from cmscert.reports.schemas import report_schemas
from cmscert.testing.plans import MOMENT

LATER = {"due_at": MOMENT + timedelta(days=60), "not_after": MOMENT + timedelta(days=90)}
REPORT = RenewReport(
    made_at=MOMENT,
    fleet="example",
    select=("role=core",),
    rows=(
        RenewRow(certificate="node", server="core1", issuer="lab", state="issued", why="there is none yet", **LATER),  # type: ignore[arg-type]  # dates
        RenewRow(certificate="node", server="core2", issuer="lab", state="fresh", **LATER),  # type: ignore[arg-type]  # dates
        RenewRow(
            certificate="join", server=None, issuer="corp", state="waiting", why="sign csr/join.csr", at_risk=True
        ),
        RenewRow(
            certificate="turn",
            server=None,
            issuer="acme",
            state="failed",
            why="no answer\x1b[31m",
            at_risk=True,
            notes=("ask the CA",),
            **LATER,  # type: ignore[arg-type]  # dates
        ),
    ),
)


def test_a_renewal_in_words() -> None:
    """What was obtained, what waits and what failed stand apart; what is fresh is counted, and listed when asked."""
    text = renew_text(REPORT)

    assert text.splitlines()[:3] == [
        "Renewal of example · 2026-11-23 20:30 UTC",
        "Only role=core",
        "1 obtained, 1 waiting, 1 failed, 1 fresh",
    ]
    assert "  join  sign csr/join.csr; there is nothing to use instead; issuer corp" in text
    assert "no answer\\x1b[31m; validity is at risk; issuer acme" in text
    assert "ask the CA" in text
    assert "cmscert plan shows what deploys these" in text
    assert "node for core2" not in text
    assert "node for core2" in renew_text(REPORT, verbose=True)


def test_a_renewal_of_nothing() -> None:
    """An inventory without issuers says so in one line more."""
    text = renew_text(replace(REPORT, rows=(), select=()))

    assert text.splitlines()[1] == "No certificate of this inventory comes from an issuer"
    assert "No certificate of this selection comes from an issuer" in renew_text(replace(REPORT, rows=()))


def test_the_document_fits_its_schema() -> None:
    """Machines get every row, with control characters spelled out."""
    document = renew_document(REPORT)
    jsonschema.validate(document, report_schemas()["renew"])

    assert document["summary"] == {"fresh": 1, "due": 0, "issued": 1, "waiting": 1, "failed": 1, "put-off": 0}
