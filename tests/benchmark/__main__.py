"""The command: ``python -m tests.benchmark [ROW ...] [--rounds N]``; without rows all that need no Open WebUI."""

import argparse
import platform
from collections.abc import Callable, Iterator, Mapping

from . import at_once, files, growth, loading, overhead, several
from .table import Line, as_table

ROWS: Mapping[str, Callable[..., Iterator[Line]]] = {
    "1": overhead.lines,
    "3": at_once.lines,
    "5": growth.lines,
    "6": several.lines,
    "7": loading.lines,
    "8": files.lines,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmark", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}; all of them by default")
    parser.add_argument("--rounds", type=int, default=3, help="how often each contender is measured")
    arguments = parser.parse_args()
    strange = set(arguments.rows) - ROWS.keys()
    if strange:
        parser.error(f"no such row: {', '.join(sorted(strange))}")
    print(f"Python {platform.python_version()}, {platform.machine()}; medians of {arguments.rounds} rounds in turns")
    lines: list[Line] = []
    for row in arguments.rows or ROWS:
        for line in ROWS[row](arguments.rounds):
            lines.append(line)
            print("  ".join(line.cells()), flush=True)
    print()
    print(as_table(lines))


if __name__ == "__main__":
    main()
