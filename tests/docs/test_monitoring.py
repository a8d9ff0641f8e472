"""The alert rules of the monitoring page fire on metrics that are really written."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from cmscert.reports.prometheus import metrics
from cmscert.testing.fleet_reports import sample_drift, sample_last_run, sample_status

DOCS = Path(__file__).parents[2] / "docs"
FAMILIES = {
    family.name: {label for sample in family.samples for label in sample.labels}
    for family in text_string_to_metric_families(
        metrics(sample_status(), drift=sample_drift(), last_run=sample_last_run())
    )
}


@pytest.fixture(name="rules")
def rules_fixture() -> str:
    """Return the alert rules of the page."""
    page = (DOCS / "how-to" / "monitoring.md").read_text(encoding="utf-8")
    [block] = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return str(block)


def test_the_reference_lists_every_metric_with_its_labels() -> None:
    """The table names what is written, and nothing else."""
    section = (DOCS / "reference" / "reports.md").read_text(encoding="utf-8").split("\n## Prometheus\n")[1]
    rows = re.findall(r"^\| `(cmscert_[a-z_]+)` \| ([^|]*) \|", section, re.MULTILINE)
    labels: dict[str, set[str]] = {}
    for name, said in rows:
        before = list(labels.values())[-1] if labels else set()
        plain = re.sub(r"\[([a-z]+)\]\([^)]*\)", r"\1", re.sub(r": [a-z]+(, (?:served|unread|no))", "", said))
        own = {"fleet", *plain.split(", ")} - {"-"}
        labels[name] = before if plain == "the same" else own

    assert labels == FAMILIES


def test_rules_use_metrics_that_are_written(rules: str) -> None:
    """No alert waits for a metric or a label that never comes."""
    found: Any = yaml.safe_load(rules)
    for rule in found["groups"][0]["rules"]:
        [name] = set(re.findall(r"cmscert_[a-z_]+", rule["expr"]))
        shown = set(re.findall(r"\$labels\.([a-z_]+)", rule["annotations"]["summary"]))
        assert shown <= FAMILIES[name], rule["alert"]


@pytest.mark.judge("prometheus")
def test_promtool_takes_the_rules(rules: str, tmp_path: Path) -> None:
    """Prometheus' own tool reads the rules, and they fire when a server or the whole look is silent."""
    (tmp_path / "rules.yaml").write_text(rules, encoding="utf-8")
    shutil.copyfile(Path(__file__).parent / "alerts.yaml", tmp_path / "alerts.yaml")
    for words in (["check", "rules", "rules.yaml"], ["test", "rules", "alerts.yaml"]):
        done = subprocess.run(
            ["promtool", *words], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr
