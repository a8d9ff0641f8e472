"""The reference is written from the code, or held against it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from cmscert.cli.exit_codes import EXIT_CODES
from cmscert.cli.main import COMMANDS
from cmscert.lab.spec import Faults, Switches

NOTICE = r'Notice\((?:server=[^,()]+, )?(?:slot=[^,()]+, )?reason="([a-z0-9-]+)"'
DRIFT = r'(?:case\.drift\(\s*|_drift\(cluster, name, )"([a-z0-9-]+)"'
DUE = r'"(expired|expires-soon)"'
DATABASE = r'(?:append\(\(|yield |return \[\()f?"(database-[a-z{}-]+)"'


def _headings(page: Path) -> list[str]:
    return re.findall(r"^### `([^`]+)`", page.read_text(encoding="utf-8"), re.MULTILINE)


def _literals(root: Path, files: str, *patterns: str) -> set[str]:
    texts = [path.read_text(encoding="utf-8") for path in sorted((root / "cmscert").glob(files))]
    assert texts
    return {found for text in texts for pattern in patterns for found in re.findall(pattern, text)}


@pytest.mark.parametrize("name", ["commands.md", "services.md"])
def test_generated_pages_are_fresh(name: str, load: Callable[[str], ModuleType], root: Path) -> None:
    """A page that comes from the code says what the code says today."""
    written = (root / "docs" / "reference" / name).read_text(encoding="utf-8")

    assert written == load("docs/generate.py").pages()[name], f"docs/reference/{name} is old: make reference"


def test_exit_codes_are_those_of_the_table(root: Path) -> None:
    """The page lists every exit code in the words of the table, and no other."""
    page = (root / "docs" / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    rows = {int(code): meaning for code, meaning in re.findall(r"^\| (\d+) \| ([^|]+?) \|", page, re.MULTILINE)}

    assert rows == EXIT_CODES


def test_every_guard_is_explained(root: Path) -> None:
    """Every guard has its section, and no section stands for a guard that is not there."""
    known = _literals(root, "planning/*.py", r'guard="([a-z0-9-]+)"')

    assert sorted(_headings(root / "docs" / "reference" / "guards.md")) == sorted(known)


def test_every_reason_is_explained(root: Path) -> None:
    """Every reason of drift and every rule of certificates has its section, and nothing else has."""
    drift = _literals(root, "planning/*.py", DRIFT) | _literals(root, "planning/*.py", DUE)
    drift |= _literals(root, "planning/*.py", r'reason="([a-z0-9-]+)"') - _literals(root, "planning/*.py", NOTICE)
    faults = _literals(root, "planning/*.py", DATABASE)
    drift |= {name.replace("{use}", use) for name in faults for use in ("server", "client")}
    rules = _literals(root, "pki/rules.py", r'_(?:error|warning)\(\s*"([a-z0-9-]+)"', r'\)\("([a-z0-9-]+)"')
    paper = _literals(root, "inventory/judging.py", r'reason="([a-z0-9-]+)"')

    explained = _headings(root / "docs" / "reference" / "reasons.md")
    assert sorted(explained) == sorted(drift | rules | paper)


def test_every_notice_is_explained(root: Path) -> None:
    """Every notice has its section, and nothing else has."""
    known = _literals(root, "planning/*.py", NOTICE)

    assert sorted(_headings(root / "docs" / "reference" / "notices.md")) == sorted(known)


def test_no_literal_is_overlooked(root: Path) -> None:
    """Every `reason="…"` and `guard="…"` of planning and the rules stands on one of the pages."""
    known = _literals(root, "planning/*.py", r'(?:guard|reason)="([a-z0-9-]+)"')
    known |= _literals(root, "pki/rules.py", r'reason="([a-z0-9-]+)"')
    folder = root / "docs" / "reference"
    explained = {name for page in ("guards.md", "reasons.md", "notices.md") for name in _headings(folder / page)}

    assert known <= explained


@pytest.mark.parametrize("name", ["plan", "run", "runs", "drift", "status", "validate", "adopt", "locks", "error"])
def test_every_key_of_a_document_is_named(name: str, root: Path) -> None:
    """The page of the formats has a section for each, with the keys that its schema has, and no other key."""
    schema = json.loads((root / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8"))
    page = (root / "docs" / "reference" / "plan-file.md").read_text(encoding="utf-8")
    section = page.split(f"\n## cmscert.{name}/1", maxsplit=1)[1].split("\n## ", maxsplit=1)[0]
    rows = re.findall(r"^\| `([a-z0-9_]+)` \|", section, re.MULTILINE)

    assert sorted(rows) == sorted(schema["properties"])


@pytest.mark.parametrize("kind", [Switches, Faults])
def test_every_switch_of_the_lab_is_explained(kind: Any, root: Path) -> None:  # noqa: ANN401 - a dataclass
    """The page about the lab names every switch and every fault."""
    page = (root / "docs" / "explanation" / "lab.md").read_text(encoding="utf-8")
    title = kind.__name__.lower()
    section = page.split(f"\n## {title.capitalize()}", maxsplit=1)[1].split("\n## ", maxsplit=1)[0]
    rows = re.findall(r"^\| `([a-z0-9_]+)` \|", section, re.MULTILINE)

    assert rows == [field.name for field in fields(kind)]


def test_the_readme_names_commands_that_are_there(root: Path) -> None:
    """Every `cmscert COMMAND` of the README is a command."""
    text = (root / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:`|\$ )cmscert ([a-z]+)", text))

    assert named
    assert named <= set(COMMANDS)


def test_make_targets_that_pages_name_are_there(documents: dict[Path, list[Any]], root: Path) -> None:
    """Every `make TARGET` of the pages stands in the Makefile."""
    rules = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {
        target
        for page in documents
        for target in re.findall(r"(?:`|\$ )make ([a-z-]+)", page.read_text(encoding="utf-8"))
    }

    assert named <= rules
