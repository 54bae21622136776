"""How much there is to work through in what comes from outside: its length decides where that is
done.

A hop into a thread takes longer than most work does: all of a graph of ten nodes is found before a
thread begins. So what is short is worked through at once, on the event loop, and what is long in a
thread; `Threads.run_unless_short` does so. This is the one place that says what is short: so little
that the slowest work of the tool, finding the parameters of a graph, takes some 2 milliseconds, and
on a slow machine three times as much.

An extent is counted in characters. `extent_of` goes through lists and objects as JSON has them, and
asks anything else for its own `extent`. What has none counts as long.
"""

from typing import Any

# characters: a graph of 30 nodes, or of 10 whose definitions list some hundred files
SHORT = 10_000
VALUE_EXTENT = 8  # of a value, besides its characters


def extent_of(*values: Any, most: int = SHORT) -> int:
    """How much there is to work through in these values, in characters. It is counted until it is
    more than `most`.
    """
    extent = 0
    waiting: list[Any] = list(values)
    while waiting and extent <= most:
        value = waiting.pop()
        extent += VALUE_EXTENT
        if isinstance(value, (str, bytes)):
            extent += len(value)
        elif isinstance(value, (dict, list, tuple, set, frozenset)):
            extent += VALUE_EXTENT * len(value)
            if extent <= most:
                waiting += value
            if isinstance(value, dict) and extent <= most:
                waiting += value.values()
        elif value is not None and not isinstance(value, (bool, int, float)):
            extent += getattr(value, "extent", SHORT + 1)
    return extent


def is_short(*values: Any) -> bool:
    """Whether there is so little in these values that working through them does not hold up the
    event loop.
    """
    return extent_of(*values) <= SHORT
