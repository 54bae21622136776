"""Row 6: the time that many jobs take over servers of different speeds, against the ideal.

The ideal is that of all servers at work all the time, each at its own pace: so many jobs divided by the jobs that all
of them do in a second. The pace of each is measured first, with one job after the other by the floor.
"""

from collections.abc import Iterator, Sequence

from .contenders import run_contender
from .servers import stand_ins
from .table import Line

STEP_SECONDS = (0.04, 0.08, 0.12, 0.2)  # of the four servers; a picture has two steps


def lines(rounds: int, jobs: int = 100, steps: Sequence[float] = STEP_SECONDS) -> Iterator[Line]:
    """The lines of row 6."""
    with stand_ins(len(steps), kilobytes=20, step_seconds=steps) as urls:
        paces = [1 / run_contender("floor", "one", 5, [url])["time"] for url in urls]
        ideal = Line(f"6, {jobs} jobs", "ideal", [jobs / sum(paces)], "s")
        yield ideal
        made = [run_contender("tool", "many", jobs, urls)["time"] * jobs for _ in range(rounds)]
        yield Line(f"6, {jobs} jobs", "this tool", made, "s", ideal.median, 1.1)
