"""Lines of the table, and contenders that are measured in turns."""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """What was measured of one contender."""

    row: str  # of issue 18: "3, 200 calls, CPU"
    contender: str
    values: Sequence[float]
    unit: str
    against: float | None = None  # the median of the first contender of the group
    goal: float | None = None  # the highest ratio, or the highest value where nothing is compared

    @property
    def median(self) -> float:
        """The middle of what was measured."""
        return statistics.median(self.values)

    @property
    def ratio(self) -> float | None:
        """How many times that of the first contender; None for that one itself, and where there is none."""
        return self.median / self.against if self.against else None

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is met; None where there is none."""
        if self.goal is None:
            return None
        return (self.ratio if self.ratio is not None else self.median) <= self.goal

    def cells(self) -> list[str]:
        """Its cells in the table."""
        spread = f"{shown(min(self.values))} to {shown(max(self.values))}"
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        goal = "" if self.goal is None else f"{self.goal:g}"
        met = {None: "", True: "yes", False: "NO"}[self.is_met]
        return [self.row, self.contender, f"{shown(self.median)} {self.unit}", spread, ratio, goal, met]


HEAD = ["row", "contender", "median", "spread", "ratio", "goal", "met"]


def shown(value: float) -> str:
    """A number in three digits."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def as_table(lines: Sequence[Line]) -> str:
    """All lines, in columns."""
    rows = [HEAD, *(line.cells() for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


Measured = Mapping[str, float]  # by what was measured: {"time": 0.012, "CPU": 0.004}


def in_turns(contenders: Mapping[str, Callable[[], Measured]], rounds: int) -> dict[str, list[Measured]]:
    """What each contender measured in each round. They take turns, and every second round goes backwards, so that what
    else the machine does falls on all alike."""
    results: dict[str, list[Measured]] = {name: [] for name in contenders}
    for number in range(rounds):
        order = list(contenders)
        for name in order if number % 2 == 0 else reversed(order):
            results[name].append(contenders[name]())
    return results


def lines_of(
    row: str,
    results: Mapping[str, Sequence[Measured]],
    units: Mapping[str, tuple[str, float]],
    goals: Mapping[tuple[str, str], float] | None = None,
    compared: bool = True,
) -> Iterator[Line]:
    """The lines of what was measured in turns. `units` say for each thing that was measured its unit and the factor for
    it; `goals` are by contender and thing. The first contender is what the others are compared with."""
    goals = goals or {}
    for what, (unit, factor) in units.items():
        against: float | None = None
        for contender, measured in results.items():
            values = [one[what] * factor for one in measured if what in one]
            if not values:
                continue
            line = Line(f"{row}, {what}", contender, values, unit, against, goals.get((contender, what)))
            yield line
            if compared and against is None:
                against = line.median
