"""Row 3: many calls at once in one process, over four servers that take no time.

The floor, this tool, this tool as it shows previews in a chat, and the tool of the older commit, each in a process of
its own. Time, CPU and memory are for each call; the stall is the longest time for which the event loop did nothing
else, told by the clock, by its own CPU, and by that without garbage collections ("work"). All of it shares the machine
with the servers, so times tell less than CPU does.
"""

from collections.abc import Iterator, Sequence
from functools import partial

from .contenders import OLDER, UNITS, older_file, run_contender
from .servers import stand_ins
from .table import Line, in_turns, lines_of

GOALS = {("this tool", "CPU"): 1.5, ("this tool", "time"): 1.05}
STALL_GOAL = 50.0  # ms
MEMORY_GOAL = 3.0  # times what a call's outputs are
SHOWING = "this tool, previews"
SMALL_KB = 20  # of a picture: the calls are to be compared, and not the network


def lines(rounds: int, counts: Sequence[int] = (20, 200, 1000), servers: int = 4, older: bool = True) -> Iterator[Line]:
    """The lines of row 3."""
    with older_file(older) as path:
        for count in counts:
            with stand_ins(servers, SMALL_KB) as urls:
                contenders = {"floor": partial(run_contender, "floor", "many", count, urls)}
                contenders["this tool"] = partial(run_contender, "tool", "many", count, urls)
                contenders[SHOWING] = partial(run_contender, "previews", "many", count, urls)
                if path:
                    contenders[OLDER] = partial(run_contender, path, "many", count, urls)
                results = in_turns(contenders, rounds if count < 1000 else max(1, rounds // 2))
            yield from lines_of(f"3, {count} calls", results, UNITS, GOALS)
            for what in ("stall, CPU", "stall, work"):
                stalls = [one[what] * 1000 for one in results[SHOWING]]
                yield Line(f"3, {count} calls, {what} alone", SHOWING, stalls, "ms CPU", goal=STALL_GOAL)
            held = [one["memory"] / (SMALL_KB * 1000) for one in results["this tool"]]
            yield Line(f"3, {count} calls, memory", "this tool", held, "x outputs", goal=MEMORY_GOAL)
