from __future__ import annotations

import gc
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import pytest
from jsonschema import Draft202012Validator

from cmscert.cli import bug_report
from cmscert.cli.commands import schema
from cmscert.cli.main import COMMANDS, SELDOM, cmscert, main, settle
from cmscert.cli.output import Output, write_file
from cmscert.errors import InputError
from cmscert.reports.schemas import report_schemas
from cmscert.testing.inventories import SMALL, Folder

HEAVY = ("asyncssh", "cryptography", "pydantic", "structlog", "rich", "yaml", "asyncio", "subprocess")


def cmscert_process(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the real program."""
    return subprocess.run(
        [sys.executable, "-m", "cmscert", *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["plan", "--help"], ["apply", "-h"], ["nonsense"]])
def test_start_up_loads_nothing_heavy(words: list[str]) -> None:
    """Help, version and wrong usage come without SSH, certificates, models, logs or drawing."""
    program = (
        "import sys\n"
        "from cmscert.cli.main import main\n"
        f"main({words!r})\n"
        f"print('LOADED', sorted(set({HEAVY!r}) & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.splitlines()[-1] == "LOADED []"


def test_validating_loads_no_sessions_and_no_pages(tmp_path: Path) -> None:
    """What editors and hooks run all the time loads no SSH, no plans, no logs, and nothing that lays out pages."""
    folder = Folder(tmp_path).write(SMALL).mint()
    unneeded = ("asyncssh", "asyncio", "structlog", "rich", "cmscert.planning.make", "cmscert.model.plan")
    program = (
        "import sys\n"
        "from cmscert.cli.main import main\n"
        f"code = main(['validate', {str(folder.inventory)!r}])\n"
        f"print('LOADED', code, sorted(set({unneeded!r}) & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.splitlines()[-1] == "LOADED 0 []"


def test_planning_loads_what_a_plan_needs(tmp_path: Path) -> None:
    """Without earlier runs a plan loads no journals, no issuers, no logs, no templates, no other form of its result."""
    text = SMALL.replace("known_hosts: known_hosts", "known_hosts: known_hosts, port: 1").replace("10.0.0.", "127.0.0.")
    folder = Folder(tmp_path).write(text).mint()
    (tmp_path / "known_hosts").touch()
    unneeded = (
        "structlog",
        "jinja2",
        "cmscert.apply",
        "cmscert.issue",
        "cmscert.app.plan_file",
        "cmscert.app.proofs",
        "cmscert.model.events",
        "cmscert.model.results",
        "cmscert.reports.html",
        "cmscert.reports.markdown",
        "cmscert.reports.plan_document",
        "cmscert.reports.runbook",
    )
    program = (
        "import sys\n"
        "from cmscert.cli.main import main\n"
        f"code = main(['plan', {str(folder.inventory)!r}])\n"
        f"print('LOADED', code, sorted(set({unneeded!r}) & set(sys.modules)))\n"
    )
    environment = {**os.environ, "CMS_PASSWORD": "lab"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60, env=environment
    )

    assert done.stdout.splitlines()[-1] == "LOADED 4 []"


def test_what_a_start_made_is_never_looked_through_for_garbage() -> None:
    """Right before the first look everything is taken out of the search, once; from then on looks are seldom."""
    threshold = gc.get_threshold()
    gc.callbacks.append(settle)
    try:
        gc.collect()

        assert gc.get_freeze_count() > 0
        assert gc.get_threshold()[0] == SELDOM
        assert settle not in gc.callbacks
    finally:
        gc.unfreeze()
        gc.set_threshold(*threshold)


def test_version() -> None:
    """The version is one line on stdout."""
    done = cmscert_process("--version")

    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"cmscert \d+\.\d+\.\d+\n", done.stdout)


def test_help_lists_commands_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """The first page names every command, none cut off, and every exit code."""
    code = main(["--help"])
    page = capsys.readouterr().out

    assert code == 0
    assert [line for line in page.splitlines() if line.endswith("...") and not line.startswith("Usage:")] == []
    assert [name for name in COMMANDS if f"\n  {name}" not in page] == []
    assert "\n  130  interrupted" in page


def test_first_page_says_what_the_commands_say() -> None:
    """The table that help is drawn from, without loading a command, says of each what it says of itself."""
    context = click.Context(cmscert)
    commands = {name: cmscert.get_command(context, name) for name in COMMANDS}

    assert {name: one.get_short_help_str(80) for name, one in commands.items() if one is not None} == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command has a page of its own."""
    assert main([name, "--help"]) == 0
    assert f"Usage: cmscert {name}" in capsys.readouterr().out


CONTRACT = {
    "validate": {"--format", "--output", "--no-color"},
    "plan": {"--format", "--output", "--select", "--log-format", "-v", "--no-color", "--state-dir", "--save"}
    | {"--detailed-exitcode", "--parallel"},
    "apply": {"--format", "--output", "--select", "--log-format", "-v", "--no-color", "--state-dir", "--plan"}
    | {"--yes", "--allow", "--parallel", "--no-rollback"},
    "drift": {"--format", "--output", "--select", "--log-format", "-v", "--no-color", "--state-dir", "--parallel"},
    "status": {"--format", "--output", "--select", "--log-format", "-v", "--no-color", "--state-dir", "--parallel"},
    "schema": {"--write", "--output"},
    "demo": {"--folder"},
}


@pytest.mark.parametrize("name", sorted(CONTRACT))
def test_flags_are_those_of_the_contract(name: str) -> None:
    """Each command takes the flags that the contract gives it."""
    command = cmscert.get_command(click.Context(cmscert), name)
    assert command is not None
    flags = {option for parameter in command.params for option in parameter.opts}

    assert CONTRACT[name] <= flags


def test_unknown_command_is_no_command() -> None:
    """A name that is none finds nothing."""
    assert cmscert.get_command(click.Context(cmscert), "nonsense") is None


USAGE = [
    ["nonsense"],
    ["plan"],
    ["plan", "a.yaml", "--format", "sarif"],
    ["plan", "a.yaml", "--select", "host=x"],
    ["plan", "a.yaml", "--select", "core1"],
    ["plan", "a.yaml", "--parallel", "0"],
    ["apply", "a.yaml", "--plan", "p.json", "--select", "server=core1"],
    ["schema", "nonsense"],
    ["lab", "up"],
]


@pytest.mark.parametrize("words", USAGE, ids=" ".join)
def test_wrong_usage_is_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage is told on stderr, with nothing on stdout."""
    assert main(words) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "Error:" in told.err


@pytest.mark.parametrize(
    "words",
    [
        ["plan", "a.yaml", "--select", "host=x", "--format", "json"],
        ["plan", "--format=json"],
        ["validate", "no-such.yaml", "--format", "json"],
    ],
    ids=" ".join,
)
def test_errors_are_documents_when_asked(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """With --format json every failure is one error document on stdout, and words on stderr."""
    code = main(words)
    told = capsys.readouterr()
    document = json.loads(told.out)

    Draft202012Validator(report_schemas()["error"]).validate(document)
    assert document["code"] == code
    assert told.err


def test_error_document_goes_where_the_result_was_to_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --output the error document is in the file."""
    file = tmp_path / "out.json"

    assert main(["validate", "no-such.yaml", "--format", "json", "--output", str(file)]) == 3
    assert capsys.readouterr().out == ""
    assert json.loads(file.read_text())["code"] == 3


def test_error_document_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """When the file cannot be written either, both are told on stderr and the first decides the code."""
    file = tmp_path / "missing" / "out.json"

    assert main(["validate", "no-such.yaml", "--format", "json", "--output", str(file)]) == 3
    told = capsys.readouterr().err
    assert "no-such.yaml" in told
    assert "cannot be written" in told


def command_that(error: BaseException) -> click.Command:
    """Make a command that ends badly."""

    @click.command("status")
    def command() -> None:
        raise error

    return command


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> object:
    """Replace ``status`` by a command that raises."""

    def replace(error: BaseException) -> None:
        monkeypatch.setattr("cmscert.cli.commands.status.command", command_that(error))

    import cmscert.cli.commands.status  # noqa: F401 - so that there is something to replace

    return replace


def test_bug_writes_a_report_without_values(
    broken: object, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody foresaw is 1 and a file that names versions and places, never messages or values."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    error = RuntimeError("password hunter2")
    error.__cause__ = ValueError("key hunter2")
    broken(error)  # type: ignore[operator]  # the fixture is a function

    assert main(["status"]) == 1
    told = capsys.readouterr()
    report = next(tmp_path.glob("cmscert-bug-*.txt"))
    text = report.read_text()
    assert str(report) in told.err
    assert "builtins.RuntimeError" in text
    assert "builtins.ValueError" in text
    assert "cmscert/cli/main.py" in text
    assert "asyncssh" in text
    assert "hunter2" not in text + told.err + told.out
    assert report.stat().st_mode & 0o077 == 0


def test_bug_report_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a place for the report its text goes to stderr."""
    file = tmp_path / "file"
    file.write_text("")
    before = tempfile.tempdir
    tempfile.tempdir = str(file)
    try:
        place = bug_report.write_report(RuntimeError(), file)
    finally:
        tempfile.tempdir = before

    assert str(place) == "the lines above"
    assert "RuntimeError" in capsys.readouterr().err


def test_bug_report_prefers_the_state_folder(tmp_path: Path) -> None:
    """The report stands with the journals when their place is known."""
    assert bug_report.write_report(RuntimeError(), tmp_path / "state").parent == tmp_path / "state"


def test_missing_parts_are_named_in_reports() -> None:
    """A library that is not installed is told as such."""
    assert bug_report._version("no-such-library-at-all") == "not installed"


def test_interrupt_is_130(broken: object, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C before anything was begun says that nothing was changed."""
    broken(KeyboardInterrupt())  # type: ignore[operator]  # the fixture is a function

    assert main(["status"]) == 130
    assert "nothing was changed" in capsys.readouterr().err


def test_reader_that_went_away_is_no_error() -> None:
    """``cmscert … | head`` ends quietly."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "cmscert", "schema", "plan"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    os.close(writer)

    assert (done.returncode, done.stderr) == (0, "")


def test_console_script_passes_the_code_on() -> None:
    """The process ends with the code that the table says."""
    assert cmscert_process("nonsense").returncode == 2
    assert cmscert_process("validate", "no-such.yaml").returncode == 3


@pytest.mark.parametrize("name", schema.NAMES)
def test_committed_schemas_are_fresh(name: str) -> None:
    """The schemas of the repository are what the code says."""
    file = Path(__file__).parents[2] / "schemas" / f"{name}.schema.json"

    assert file.read_text() == schema.schema_texts()[name], "run: make schemas"


def test_schema_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``schema`` names the schemas, shows one, or writes all."""
    assert main(["schema"]) == 0
    assert capsys.readouterr().out.split() == list(schema.NAMES)
    assert main(["schema", "run"]) == 0
    assert json.loads(capsys.readouterr().out)["properties"]["format"] == {"const": "cmscert.run/1"}
    assert main(["schema", "--write", str(tmp_path)]) == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(f"{name}.schema.json" for name in schema.NAMES)


def test_files_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """A file that cannot be written leaves nothing behind."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError):
        write_file(tmp_path / "folder", "text")

    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize(
    ("no_color", "environment", "coloured"),
    [
        (False, {"TERM": "xterm"}, True),
        (True, {"TERM": "xterm"}, False),
        (False, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (False, {"TERM": "xterm", "NO_COLOR": ""}, True),
        (False, {"TERM": "dumb"}, False),
    ],
)
def test_colour_is_for_terminals(
    no_color: bool,  # noqa: FBT001 - a table
    environment: dict[str, str],
    coloured: bool,  # noqa: FBT001 - a table
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A terminal gets colour unless a flag or a variable says no; a file never does."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    controller, terminal = os.openpty()
    with os.fdopen(terminal, "w") as stream, Path(os.devnull).open("w") as file:
        output = Output(no_color=no_color, out=stream)
        assert output.result_colour is coloured
        assert 80 <= output.result_width <= 200
        assert not output.colour(file)
        assert output.width(file) == 80
        assert not Output(file=Path("x"), out=stream).result_colour
        assert Output(file=Path("x"), out=stream).result_width == 80
    os.close(controller)


def test_remarks_are_harmless_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Remarks are one JSON object or one line each, and control characters do not pass."""
    Output(log_format="json").note()("read", server="core1", why="\x1b[2J")
    Output(verbose=True).note()("read", server="core1", why="\x1b[2J")
    Output().note()("dropped")
    first, second = capsys.readouterr().err.splitlines()

    assert json.loads(first)["why"] == "\\x1b[2J"
    assert "server=core1" in second
    assert "\x1b" not in second
