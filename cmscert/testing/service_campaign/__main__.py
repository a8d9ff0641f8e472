"""``python -m cmscert.testing.service_campaign``: play one case and tell all, or many and draw a table."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final

from cmscert.testing.service_campaign.play import play
from cmscert.testing.service_campaign.tally import Tally, page

CHUNK: Final = 50


def main() -> int:
    """Play what is asked for; 1 when a case is wrong."""
    parser = ArgumentParser(prog="python -m cmscert.testing.service_campaign", description=__doc__)
    parser.add_argument("--seed", type=int, help="play this case alone, and tell how it went")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--cases", type=int, default=20_000, help="how many cases")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes at a time")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page with the measured figures")
    asked = parser.parse_args()
    if asked.seed is not None:
        played = play(asked.seed)
        sys.stdout.write(f"{played}\n")
        return int(played.wrong is not None)
    whole = Tally()
    for part in _parts(asked.first, asked.cases, asked.workers):
        whole.add(part)
        for text in part.wrong:
            sys.stdout.write(f"{text}\n\n")
        sys.stderr.write(f"\r{whole.cases} of {asked.cases} cases, {len(whole.wrong)} wrong ")
    sys.stdout.write(f"\n{page(whole)}")
    if asked.write is not None and not whole.wrong:
        asked.write.write_text(page(whole), encoding="utf-8")
    return int(bool(whole.wrong))


def _parts(first: int, cases: int, workers: int) -> Iterator[Tally]:
    starts = range(first, first + cases, CHUNK)
    sizes = [min(CHUNK, first + cases - start) for start in starts]
    if workers == 1:
        yield from map(played, starts, sizes)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(played, starts, sizes)


def played(first: int, cases: int) -> Tally:
    """Play some cases in a row."""
    tally = Tally()
    for seed in range(first, first + cases):
        tally.count(play(seed))
    return tally


if __name__ == "__main__":
    sys.exit(main())
