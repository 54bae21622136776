"""Dictionaries that do not grow without end, for all that a process remembers.

Open WebUI runs for months, and what the tool learns of servers, jobs, files and chats must not fill
its memory.
"""

import itertools
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
    """Drop all but the newest `most` entries, and none whose value `is_needed`.

    Whoever asks for it does so with each new entry, so it must not go through all of them each
    time. The oldest stand first. Where some are needed, all have to be looked at; that is done only
    when the number of entries is a multiple of a tenth of `most`, however many are needed.
    """
    if is_needed is None:
        spare = [*itertools.islice(entries, max(len(entries) - most, 0))]
    elif len(entries) > most and len(entries) % max(most // 10, 1) == 0:
        copied = entries.copy()  # in one go: other threads may set entries, too
        spare = [key for key, value in copied.items() if not is_needed(value)][:-most]
    else:
        return
    for oldest in spare:
        entries.pop(oldest, None)
