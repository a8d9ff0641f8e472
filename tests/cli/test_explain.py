"""What a name means is said offline, in the words of the reference."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cmscert.cli import explaining
from cmscert.cli.exit_codes import EXIT_CODES
from cmscert.cli.explaining import PAGES, drawn, entries
from cmscert.cli.main import main
from cmscert.errors import InputError

ROOT = Path(__file__).parents[2]


def headings() -> list[str]:
    """Return the names of all sections; tests/docs holds them to be the guards, reasons and notices of the code."""
    pages = [(ROOT / "docs" / "reference" / page).read_text(encoding="utf-8") for page in PAGES]
    return [name for page in pages for name in re.findall(r"^### `([^`]+)`", page, re.MULTILINE)]


@pytest.mark.parametrize("name", sorted({*headings(), *map(str, EXIT_CODES)}))
def test_every_name_explains(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every guard, reason, notice and exit code has words of its own, that fit 80 columns where they can."""
    assert main(["explain", name]) == 0
    told = capsys.readouterr().out

    assert re.match(rf"(guard|reason|notice|exit code) {name}\n\n\S", told)
    assert "](" not in told
    assert " How." not in " ".join(told.split())
    assert not [line for line in told.splitlines() if len(line) > 80 and " " in line.strip()]


def test_a_name_of_two_kinds_tells_both(capsys: pytest.CaptureFixture[str]) -> None:
    """What is a guard and a reason is told as both."""
    assert main(["explain", "release-differs"]) == 0
    assert re.findall(r"^(guard|reason) release-differs$", capsys.readouterr().out, re.MULTILINE) == ["guard", "reason"]


def test_an_exit_code_tells_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """An exit code has its meaning, what to do, and the paragraphs about it."""
    assert main(["explain", "8"]) == 0
    told = capsys.readouterr().out

    assert EXIT_CODES[8][1:] in told.replace("\n", " ")
    assert "What to do: " in told
    assert "With code 8, servers that do not depend" in told


def test_without_a_name_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """The list has each name with its kind."""
    assert main(["explain"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(headings()) + len(EXIT_CODES) == len(entries())


@pytest.mark.parametrize(
    ("name", "said"), [("last-call-brige", "did you mean last-call-bridge?"), ("xyzzy", "cmscert explain lists all")]
)
def test_an_unknown_name_is_wrong_usage(name: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A typing error gets the nearest name, anything else the way to the list."""
    assert main(["explain", name]) == 2
    told = capsys.readouterr()

    assert told.out == ""
    assert said in " ".join(told.err.split())


def test_lists_keep_their_items() -> None:
    """Items of a list begin their own lines, and what cannot be wrapped stays."""
    text = "- one\n  two\n- three\n\n```text\nas  it is\n```\n\n| a |"
    entry = explaining.Entry(kind="guard", name="x", text=text)

    assert drawn(entry, 80) == "guard x\n\n- one two\n- three\n\n```text\nas  it is\n```\n\n| a |\n"


def test_a_wheel_carries_every_page() -> None:
    """What is read from the checkout here is packed where an installed program looks for it."""
    packed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included = packed["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]

    assert {f"docs/reference/{page}": f"cmscert/cli/reference/{page}" for page in PAGES}.items() <= included.items()


def test_packed_pages_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed program reads what it carries."""
    folder = tmp_path / "cli" / "reference"
    folder.mkdir(parents=True)
    for page in PAGES:
        (folder / page).write_text("### `mine`\n\nWords.\n", encoding="utf-8")
    monkeypatch.setattr(explaining.resources, "files", lambda _: tmp_path)

    assert {entry.name for entry in entries()} == {"mine"}


def test_a_page_that_is_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken installation says so."""
    monkeypatch.setattr(explaining.resources, "files", lambda _: tmp_path)
    monkeypatch.setattr(explaining, "__file__", str(tmp_path / "a" / "b" / "c.py"))

    with pytest.raises(InputError, match="not where it should be"):
        entries()


def test_names_complete() -> None:
    """The shell offers the names that begin with what was typed."""
    from cmscert.cli.commands.explain import command

    [name] = [each for each in command.params if each.name == "name"]
    complete: Callable[..., Any] = name.shell_complete
    offered = [item.value for item in complete(None, "last-")]

    assert offered == ["last-call-bridge"]
