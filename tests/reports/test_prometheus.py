"""Metrics, read back by prometheus-client's parser and looked at by promtool."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cmscert.reports.prometheus import LONGEST, metrics
from cmscert.testing.fleet_reports import MOMENT, many_findings, sample_drift, sample_last_run, sample_status

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]
_FINDINGS = sample_drift().findings
WHOLE = metrics(sample_status(), drift=sample_drift(), last_run=sample_last_run())


def read(text: str) -> Series:
    """Return every sample by its name and labels; no series may stand there twice or have a time stamp."""
    found: Series = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found
            assert sample.timestamp is None
            assert sample.labels["fleet"] == "example"
            found[key] = sample.value
    return found


def value(text: str, name: str, **labels: str) -> float:
    """Return the only sample of a name that has these labels."""
    [found] = [
        number
        for (known, has), number in read(text).items()
        if known == f"cmscert_{name}" and labels.items() <= dict(has).items()
    ]
    return found


def test_leaf_and_chain_end_apart() -> None:
    """The certificate and the first of its chain have a series each, as stored on the server and as served."""
    disk = {"server": "edge1", "slot": "webbridge3/https", "certificate": "join", "where": "disk"}
    served = {**disk, "where": "served"}
    hour = timedelta(hours=1)

    assert value(WHOLE, "certificate_not_after_seconds", **disk) == (MOMENT + timedelta(days=200) + hour).timestamp()
    assert value(WHOLE, "chain_not_after_seconds", **disk) == (MOMENT + timedelta(days=90) + hour).timestamp()
    assert value(WHOLE, "certificate_not_after_seconds", **served) == (MOMENT + timedelta(days=8) + hour).timestamp()
    assert value(WHOLE, "chain_not_after_seconds", **served) == (MOMENT + timedelta(days=8) + hour).timestamp()
    assert value(WHOLE, "renewal_due_seconds", **disk) == (MOMENT + timedelta(days=40)).timestamp()


def test_trust_and_databases_are_watched_too() -> None:
    """A trust list ends with its first certificate; the files of a database count as slots."""
    trust = value(WHOLE, "trust_not_after_seconds", slot="webbridge3/trust-c2w")
    leaf = value(WHOLE, "certificate_not_after_seconds", slot="database/main/server", certificate="db")

    assert trust == (MOMENT + timedelta(days=90, hours=1)).timestamp()
    assert leaf == (MOMENT + timedelta(days=70, hours=1)).timestamp()
    assert value(WHOLE, "trust_not_after_seconds", slot="database/main/ca") > leaf
    assert value(WHOLE, "renewal_due_seconds", slot="database/main/server") == MOMENT.timestamp()


def test_servers_are_counted_by_what_could_be_read() -> None:
    """A server of which anything is missing counts as unread, and is named."""
    assert value(WHOLE, "servers", state="read") == 2
    assert value(WHOLE, "servers", state="unread") == 1
    assert value(WHOLE, "server_read", server="edge2") == 0
    part = metrics(sample_status(), drift=replace(sample_drift(), unread=(("edge1", "turn: no answer"),)))
    assert value(part, "server_read", server="edge1") == 0
    assert value(WHOLE, "server_clock_skew_seconds", server="edge1") == -2.4
    assert value(WHOLE, "password_expires_seconds", server="edge1") == datetime(2027, 3, 31, tzinfo=UTC).timestamp()


def test_drift_is_counted_by_reason() -> None:
    """Findings by server and reason, ignored ones apart; the total is there when it is none, too."""
    assert value(WHOLE, "drift") == 6
    assert value(WHOLE, "drift_findings", server="core1", reason="expires-soon", severity="warning", ignored="no") == 3
    assert value(WHOLE, "drift_findings", server="core1", reason="leaf-differs", origin="server") == 1
    assert value(WHOLE, "drift_findings", server="edge9", reason="stopped-by-run", origin="unknown") == 1
    assert value(WHOLE, "drift_findings", server="edge1", reason="leaf-differs", ignored="yes") == 1
    calm = metrics(sample_status(), drift=replace(sample_drift(), findings=()))
    assert value(calm, "drift") == 0
    assert "cmscert_drift_findings" not in calm


def test_the_end_of_an_ignore_can_be_watched() -> None:
    """An ignored finding with a last day has the moment after it; one without, and one that counts, have none."""
    other = replace(sample_drift(), findings=tuple(replace(each, ignored_until=None) for each in _FINDINGS))

    assert (
        value(WHOLE, "ignored_until_seconds", server="edge1", reason="leaf-differs")
        == datetime(2027, 1, 1, tzinfo=UTC).timestamp()
    )
    assert WHOLE.count("\ncmscert_ignored_until_seconds{") == 1
    assert "cmscert_ignored_until_seconds" not in metrics(sample_status(), drift=other)


def test_the_last_run_is_told() -> None:
    """When it ended, and one of its possible results is 1."""
    assert value(WHOLE, "last_run_ended_seconds") == sample_last_run().ended.timestamp()
    results = {
        dict(has)["result"]: number for (name, has), number in read(WHOLE).items() if name.endswith("run_result")
    }
    assert results == {"applied": 0, "rolled-back": 1, "neither": 0, "interrupted": 0, "refused": 0}


def test_what_is_not_known_is_left_out() -> None:
    """A status alone says nothing of drift or runs; build and moment are always there."""
    alone = metrics(sample_status())

    assert "cmscert_drift" not in alone
    assert "cmscert_last_run" not in alone
    assert value(alone, "build_info") == 1
    assert value(alone, "read_at_seconds") == MOMENT.timestamp()


def test_the_file_of_drift_holds_all_of_the_file_of_status() -> None:
    """One file per fleet is enough."""
    assert read(metrics(sample_status())).keys() <= read(WHOLE).keys()


def test_labels_are_bounded() -> None:
    """What a device says becomes a label of limited length and one line, and findings do not multiply series."""
    labels = [text for _, has in read(WHOLE) for _, text in has]

    assert max(map(len, labels)) == LONGEST
    assert all(text.isprintable() for text in labels)
    many = replace(many_findings(50), findings=many_findings(50).findings[:1] * 500)
    assert (
        len([name for name, _ in read(metrics(sample_status(), drift=many)) if name == "cmscert_drift_findings"]) == 1
    )


@pytest.mark.judge("prometheus")
@pytest.mark.parametrize("text", [WHOLE, metrics(sample_status())], ids=["drift", "status"])
def test_promtool_finds_nothing_to_say(text: str) -> None:
    """Prometheus' own tool reads it and has no advice."""
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False, timeout=60
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
