"""The command: ``python -m tests.benchmark [ROW ...] [--rounds N] [--charts FOLDER] [--whole]``; without rows all of
them."""

import argparse
import contextlib
import platform
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from . import at_once, chat, files, growth, loading, overhead, several
from .charts import write_charts
from .in_webui import some_open_webui
from .table import Line, as_table

ROWS: Mapping[str, Callable[..., Iterator[Line]]] = {
    "1": overhead.lines,
    "2": chat.seeing_lines,
    "3": at_once.lines,
    "4": chat.paying_lines,
    "5": growth.lines,
    "6": several.lines,
    "7": loading.lines,
    "8": files.lines,
}
WHOLE_CALLS = 10_000
IN_OPEN_WEBUI = {"1", "2", "4", "7"}  # those that need one, which is started once for all


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmark", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}; all of them by default")
    parser.add_argument("--rounds", type=int, default=3, help="how often each contender is measured")
    parser.add_argument("--whole", action="store_true", help=f"{WHOLE_CALLS} calls in row 5, which takes minutes")
    parser.add_argument("--charts", type=Path, metavar="FOLDER", help="draw rows 1, 3 and 6 into this folder")
    arguments = parser.parse_args()
    strange = set(arguments.rows) - ROWS.keys()
    if strange:
        parser.error(f"no such row: {', '.join(sorted(strange))}")
    print(f"Python {platform.python_version()}, {platform.machine()}; medians of {arguments.rounds} rounds in turns")
    lines: list[Line] = []
    rows = arguments.rows or list(ROWS)
    with contextlib.ExitStack() as stack:
        shared: dict[str, Any] = {}
        if IN_OPEN_WEBUI & set(rows):
            shared["webui"] = stack.enter_context(some_open_webui(None))
        for row in rows:
            more = shared if row in IN_OPEN_WEBUI else {}
            if row == "5" and arguments.whole:
                more = {"calls": WHOLE_CALLS}
            for line in ROWS[row](arguments.rounds, **more):
                lines.append(line)
                print("  ".join(line.cells()), flush=True)
    print()
    print(as_table(lines))
    if arguments.charts:
        print(*write_charts(lines, arguments.charts), sep="\n")


if __name__ == "__main__":
    main()
