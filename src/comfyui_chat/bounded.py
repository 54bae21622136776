"""Dictionaries that do not grow without end, for all that a process remembers.

Open WebUI runs for months, and what the tool learns of servers, jobs, files and chats must not fill
its memory.
"""

from collections.abc import Callable
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedDict(dict[K, V]):
    """A dictionary that keeps its newest `most` entries, and besides them all whose value
    `is_needed`.

    An entry is as old as its key: setting it again makes it no newer, unless it was taken out
    before.
    """

    def __init__(self, most: int, is_needed: Callable[[V], bool] | None = None) -> None:
        super().__init__()
        self._most = most
        self._is_needed = is_needed

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        forget_oldest(self, self._most, self._is_needed)


def forget_oldest(
    entries: dict[K, V], most: int, is_needed: Callable[[V], bool] | None = None
) -> None:
    """Drop all but the newest `most` entries, and none whose value `is_needed`."""
    if len(entries) <= most:
        return
    copied = entries.copy()  # in one go: other threads may set entries, too
    spare = [key for key, value in copied.items() if is_needed is None or not is_needed(value)]
    for oldest in spare[:-most]:
        entries.pop(oldest, None)
