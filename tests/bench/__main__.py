"""``make bench``: measure, side by side and in turn, and draw the table. Never a test: machines differ.

Every module ``tests/bench/rows_*.py`` has a tuple ``BENCHES``.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path

from tests.bench.measure import Bench, Outcome, play
from tests.bench.table import as_json, as_markdown, row, write_into

HERE = Path(__file__).parent


def benches() -> list[Bench]:
    """Return every experiment there is."""
    modules = [import_module(f"tests.bench.{path.stem}") for path in sorted(HERE.glob("rows_*.py"))]
    return [bench for module in modules for bench in module.BENCHES]


def main() -> int:
    """Play what is asked for; 1 when a limit is not kept."""
    parser = ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="experiments; shell wildcards; all without one")
    parser.add_argument("--list", action="store_true", help="say which experiments there are")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--output", type=Path, help="write every sample here, as JSON")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="write the table into this page, samples beside it")
    asked = parser.parse_args()
    known = benches()
    order = [figure.name for bench in known for figure in bench.figures]
    chosen = [one for one in known if not asked.names or any(fnmatch(one.name, name) for name in asked.names)]
    if asked.list:
        sys.stdout.writelines(f"{one.name}\n" for one in chosen)
        return 0
    outcomes: list[Outcome] = []
    for bench in chosen:
        sys.stderr.write(f"{bench.name} …\n")
        for outcome in play(bench, asked.rounds):
            outcomes.append(outcome)
            sys.stderr.write(f"  {outcome.figure.name}: {'  '.join(row(outcome)[2:])}\n")
        if asked.write is not None:
            write_into(asked.write, outcomes, order)  # after each: what follows may take long, or fail
    sys.stdout.write((as_json if asked.format == "json" else as_markdown)(outcomes) + "\n")
    if asked.output is not None:
        asked.output.write_text(as_json(outcomes), encoding="utf-8")
    return int(any(outcome.met is False for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
