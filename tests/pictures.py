"""Draws the pictures of the documentation from what the commands print: ``make pictures``.

A lab is started for `inventories/cluster.yaml`, the plan for two of its servers is printed on a terminal of 80 columns,
and its colours are turned into SVG. Pages for people are photographed in headless Chromium, where that and the tools
from npm are there. Keys of the lab are new each time, so hashes and dates differ; the rest does not.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "pictures"
COLUMNS = 80
READY = "Ctrl-C ends the lab."
SHOWN = ("--select", "server=core4", "--select", "server=edge1")

BLANK = "&#160;"
CELL = 12.2  # width of a character as rich draws it
LEADING = re.compile(
    r'(?P<before><text class="[\w-]+" )x="(?P<x>[\d.]+)" y="(?P<y>[\d.]+)" textLength="(?P<length>[\d.]+)"'
    rf"(?P<after> [^>]*>)(?P<blanks>(?:{BLANK})+)"
)
NEWLINE = re.compile(r"<text [^>]*>\s*</text>")

# Enough contrast on this background for each colour of cmscert.reports.paper.
THEME = TerminalTheme(
    (22, 27, 34),
    (230, 237, 243),
    [
        (110, 118, 129),
        (255, 123, 114),
        (86, 211, 100),
        (227, 179, 65),
        (121, 192, 255),
        (210, 168, 255),
        (86, 212, 221),
        (230, 237, 243),
    ],
)
# rich's own frame, without the fonts that it would load from elsewhere.
FRAME = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
  <title>TITLE</title>
  <style>
    .{unique_id}-matrix {{ font-family: Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: {char_height}px;
      line-height: {line_height}px; font-variant-east-asian: full-width; }}
{styles}
  </style>
  <defs>
    <clipPath id="{unique_id}-clip-terminal">
      <rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
    </clipPath>
    {lines}
  </defs>
  {chrome}
  <g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
    {backgrounds}
    <g class="{unique_id}-matrix">
    {matrix}
    </g>
  </g>
</svg>
"""


def draw(text: str, title: str, *, name: str) -> str:
    """Turn what a terminal showed into an SVG."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, legacy_windows=False)
    console.print(Text.from_ansi(text), soft_wrap=True, highlight=False)
    svg = console.export_svg(title=title, theme=THEME, code_format=FRAME.replace("TITLE", title), unique_id=name)
    svg = NEWLINE.sub("", svg)
    svg = LEADING.sub(_moved, svg)
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE)


def _moved(found: re.Match[str]) -> str:
    """Move a text to the right instead of beginning it with blanks, which not every viewer draws."""
    blanks = found["blanks"].count(BLANK) * CELL
    x, length = float(found["x"]) + blanks, float(found["length"]) - blanks
    return f'{found["before"]}x="{x:.1f}" y="{found["y"]}" textLength="{length:.1f}"{found["after"]}'


SHOTS = (
    {"page": "status.html", "picture": "report-status.png", "width": 1060, "height": 900, "dark": False},
    {"page": "plan.html", "picture": "report-plan.png", "width": 1060, "height": 760, "dark": True, "at": "steps"},
    {"page": "run.html", "picture": "report-run.png", "width": 1060, "height": 760, "dark": False},
)
"""What is photographed; ``at``: the section that is shown."""


def photograph() -> list[str]:
    """Take pictures of the pages of a lab; return their names, none where there is no browser."""
    browser = shutil.which("chromium")
    if browser is None or not (ROOT / "tests" / "npm" / "node_modules" / "playwright-core").is_dir():
        sys.stderr.write("no pictures of pages: they need Chromium, and make judges\n")
        return []
    environment = {**os.environ, "CMS_PASSWORD": "lab", "LOGNAME": "operator"}
    with tempfile.TemporaryDirectory(prefix="cmscert-pictures-") as name, laboratory(Path(name)) as inventory:
        draw_pages(inventory, Path(name), environment)
        shots = [
            {**shot, "page": f"{name}/{shot['page']}", "picture": str(FOLDER / str(shot["picture"]))} for shot in SHOTS
        ]
        asked = json.dumps({"browser": browser, "shots": shots})
        script = str(ROOT / "tests" / "browser" / "shoot.mjs")
        subprocess.run(["node", script], input=asked, encoding="utf-8", check=True)
    return [str(shot["picture"]) for shot in SHOTS]


def draw_pages(inventory: Path, folder: Path, environment: dict[str, str]) -> None:
    """Write the pages of a lab: as it is, what a plan makes of it, and what a run has done to two of its servers."""
    for words in (
        ("status", inventory, "--format", "html", "--output", folder / "status.html"),
        ("plan", inventory, "--format", "html", "--output", folder / "plan.html"),
        ("apply", inventory, *SHOWN, "--yes", "--output", folder / "run.txt", "--allow", "last-call-bridge"),
        ("runs", "show", "last", "--inventory", inventory, "--format", "html", "--output", folder / "run.html"),
    ):
        done = subprocess.run([*program(), *map(str, words)], env=environment, capture_output=True, check=False)
        if done.returncode not in {0, 4}:
            sys.exit(f"{words[0]} ended with {done.returncode}:\n{done.stderr.decode()}")


def plan_of_the_lab() -> str:
    """Return what `cmscert plan` prints on a terminal."""
    with tempfile.TemporaryDirectory(prefix="cmscert-pictures-") as folder, laboratory(Path(folder)) as inventory:
        return on_a_terminal([*program(), "plan", str(inventory), *SHOWN])


def program() -> list[str]:
    """Return how cmscert is started."""
    return [sys.executable, "-m", "cmscert"]


def on_a_terminal(words: list[str]) -> str:
    """Run a program on a terminal of 80 columns that knows colours."""
    environment = {**os.environ, "CMS_PASSWORD": "lab", "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    child: pexpect.spawn[str] = pexpect.spawn(
        words[0], words[1:], env=environment, encoding="utf-8", dimensions=(50, COLUMNS), timeout=60
    )
    child.expect(pexpect.EOF)
    child.close()
    if child.exitstatus != 0:
        sys.exit(f"{' '.join(words)} ended with {child.exitstatus}:\n{child.before}")
    return str(child.before).replace("\r\n", "\n").strip("\n") + "\n"


@contextmanager
def laboratory(folder: Path) -> Iterator[Path]:
    """Start the lab; the inventory that reaches it is what the block gets."""
    source = ROOT / "inventories" / "cluster.yaml"
    words = [*program(), "lab", "up", str(source), "--folder", str(folder), "--base-port", "0"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as lab:
        try:
            assert lab.stdout is not None
            if not any(line.startswith(READY) for line in iter(lab.stdout.readline, "")):
                sys.exit("the lab did not start")
            yield folder / source.name
        finally:
            lab.terminate()


def main() -> None:
    """Write every picture."""
    FOLDER.mkdir(exist_ok=True)
    picture = draw(plan_of_the_lab(), f"cmscert plan cluster.yaml {' '.join(SHOWN)}", name="plan")
    (FOLDER / "plan.svg").write_text(picture, encoding="utf-8")
    for name in ("plan.svg", *photograph()):
        sys.stdout.write(f"docs/pictures/{name}\n")


if __name__ == "__main__":
    main()
