"""Whether reading a text takes a time that grows with the length of the text only.

Ten times the length may cost at most fifteen times the CPU time, in one of a few tries: whatever else the machine does
disturbs some of them, and a reader that is quadratic takes a hundred times the time in all. The garbage collector rests
meanwhile, since what it costs depends on all the other objects of the process.
"""

import contextlib
import gc
import time
from collections.abc import Callable, Iterator

import comfyui_tool as tool

SHORT, LONG = 10_000, 100_000  # characters
LINEAR = 15  # times the CPU that ten times the length may take
NOISE = 0.004  # seconds of CPU below which nothing can be told
TRIES = 5


def grows_with_length_only(read: Callable[[str], object], unit: str, begin: str = "", end: str = "") -> bool:
    """Whether a reader takes linear time on texts of one unit that is repeated between a beginning and an end."""
    short, long = (begin + unit * (length // len(unit)) + end for length in (SHORT, LONG))
    with _garbage_left_alone():
        for _ in range(TRIES):
            seconds = _cpu_seconds(read, long)
            if seconds < NOISE or seconds < LINEAR * _cpu_seconds(read, short):
                return True
    return False


def _cpu_seconds(read: Callable[[str], object], text: str) -> float:
    """The CPU time of reading a text; an error of ours is an outcome like any other."""
    begin = time.thread_time()
    with contextlib.suppress(tool.ComfyUIError, ValueError):
        read(text)
    return time.thread_time() - begin


@contextlib.contextmanager
def _garbage_left_alone() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
