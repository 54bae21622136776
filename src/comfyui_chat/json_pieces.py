"""JSON from outside, decoded piece by piece, within bounds of depth, values and time.

Python's own decoder takes a text as a whole. It holds the interpreter's lock all the while, so 60
MB stop the event loop for seconds, even from a thread; and some megabytes of `[[],[],` become
gigabytes of lists. `JsonText` decodes what is at most `MOST_PIECE_BYTES` long in one call, and goes
into whatever is longer. Between two calls others get the lock.

    text = JsonText(b'{"queue_running": [], "queue_pending": [[4, "d15c525b", {}], ...]}')
    for key in text.each_key():                   # each key; what it names has to be read before the next one
        rows = [row[1] for row in text.each_item()]

Whoever goes through a long list by `each_key` and `each_item`, and keeps little of each, never has
all of it in memory. Everything here blocks, so a long text is for a thread. Raises `ValueError` for
what is not JSON, its kinds `CutOff` where the text ends too early and `BeyondBound`.
"""

import codecs
import contextlib
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from .bounds import (
    FIRST_PIECE_BYTES,
    MOST_CONTAINERS_OF_JSON,
    MOST_DEPTH_OF_JSON,
    MOST_LIGHT_PIECE_BYTES,
    MOST_PIECE_BYTES,
    MOST_PIECE_WEIGHT,
    MOST_TEXT_BYTES,
    MOST_VALUES_OF_JSON,
)

WHITE_SPACE = re.compile(r"[ \t\n\r]*+")
JSON_DECODER = json.JSONDecoder()


TOO_DEEP, TOO_MANY = "is nested too deep", "has too many values"


class CutOff(ValueError):
    """A JSON text ends in the middle."""


class BeyondBound(ValueError):
    """What a JSON text holds is more than a bound allows. Its text goes on after "this JSON"."""


class JsonText:
    """A JSON text, in UTF-8 or decoded, and the place in it that was read to. Its window is what is
    decoded of it and not yet read. With `join` each object is made of its pairs of key and value by
    this function.
    """

    def __init__(
        self, data: bytes | str, join: Callable[[list[tuple[str, Any]]], Any] | None = None
    ) -> None:
        self._data = data.removeprefix(codecs.BOM_UTF8) if isinstance(data, bytes) else data
        self._join = join or dict
        self._decoder = json.JSONDecoder(object_pairs_hook=join) if join else JSON_DECODER
        self._taken = 0  # bytes, or characters, that went into the window
        self._utf8: codecs.IncrementalDecoder | None = None  # made when the first piece is decoded
        self._window = ""
        self._dropped = 0  # characters that were in the window before what is there now
        self.fault_at = 0  # the character of the text at which it is not JSON, once that is known
        self._place = 0  # in the window
        self._values = 0
        self._containers = 0
        self._retried = 0  # characters that were decoded in vain, since the window ended too early

    @property
    def place(self) -> int:
        """About how many bytes are read."""
        return self._taken - (len(self._window) - self._place)

    def whole(self) -> Any:
        """The one value that the text holds, of which nothing was read yet. A short text is decoded
        in one call; what is wrong with it is found by going through it.
        """
        if len(self._data) <= FIRST_PIECE_BYTES:
            with contextlib.suppress(ValueError, RecursionError):
                text = self._data if isinstance(self._data, str) else self._data.decode()
                if text.count("[") + text.count("{") <= MOST_DEPTH_OF_JSON:
                    value, end = self._decoder.raw_decode(text, 0)
                    if not text[end:].strip(" \t\n\r"):
                        return value
        value = self.value()
        self.end()
        return value

    def value(self) -> Any:
        """The value at the place, decoded."""
        self._values = 0
        self._containers = 0
        return self._value(0)

    def each_key(self) -> Iterator[str]:
        """The keys of the object at the place; each time, the value is to be read before the next
        key.
        """
        for _ in self._places("{", "}"):
            key = self._value(0) if self._next() == '"' else None
            if not isinstance(key, str):
                raise ValueError("a key of an object has to be a text")
            self._take(":")
            yield key

    def begins_with(self, bracket: str) -> bool:
        """Whether the value at the place begins with this bracket."""
        return self._next() == bracket

    def each_item(self) -> Iterator[Any]:
        """The items of the list at the place, each decoded."""
        for _ in self._places("[", "]"):
            yield self.value()

    def end(self) -> None:
        """Make sure that nothing follows."""
        following = self._next()
        if following:
            raise self._fault(following)

    def _value(self, depth: int) -> Any:
        if depth > MOST_DEPTH_OF_JSON:
            raise BeyondBound(TOO_DEEP)
        first = self._next()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._window, self._place)
            except RecursionError:
                raise BeyondBound(TOO_DEEP) from None
            except json.JSONDecodeError as error:
                self.fault_at = self._dropped + error.pos
                self._count_retry()
                if not self._may_grow(first):
                    return self._in_parts(first, depth)
                if not self._more():
                    raise CutOff("the JSON ends too early, or is none") from None
            else:
                # A number may go on in what follows the window.
                if end < len(self._window) or first in '[{"' or not self._more():
                    self._place = end
                    if isinstance(value, (dict, list)):
                        self._count(value, depth)
                    return value

    def _may_grow(self, first: str) -> bool:
        """Whether more of the text may be decoded in one call, for a value that begins with this
        character.
        """
        size = len(self._window) - self._place
        if size < MOST_PIECE_BYTES:
            return True
        if first == '"':
            return size < MOST_TEXT_BYTES
        if size >= MOST_LIGHT_PIECE_BYTES:
            return False
        brackets = self._window.count("[", self._place) + self._window.count("{", self._place)
        return 4 * brackets + self._window.count(",", self._place) < MOST_PIECE_WEIGHT

    def _in_parts(self, first: str, depth: int) -> Any:
        """What is too long to be decoded at once: a list or an object, value by value."""
        self._containers += 1
        if first == "[":
            values = []
            for _ in self._places("[", "]"):
                self._count_values(1)
                values.append(self._value(depth + 1))
            return values
        if first == "{":
            members: list[tuple[str, Any]] = []
            for key in self.each_key():
                self._count_values(1)
                members.append((key, self._value(depth + 1)))
            return self._join(members)
        raise ValueError("not JSON")

    def _places(self, opening: str, closing: str) -> Iterator[None]:
        """Go through a list or an object: yields at the place of each item, which is to be read
        before the next.
        """
        self._take(opening)
        if self._next() == closing:
            self._place += 1
            return
        while True:
            yield
            following = self._next()
            if following not in (",", closing):
                raise self._fault(following)
            self._place += 1
            if following == closing:
                return

    def _take(self, character: str) -> None:
        """Go past this character, which has to come next."""
        found = self._next()
        if found != character:
            raise self._fault(found)
        self._place += 1

    def _fault(self, found: str) -> ValueError:
        """The error for a character that does not belong at the place, or for the end of the
        text.
        """
        self.fault_at = self._dropped + self._place
        return ValueError("not JSON") if found else CutOff("the JSON ends too early")

    def _next(self) -> str:
        """The next character that is not white space, to which the place is moved; "" at the
        end.
        """
        while True:
            following = self._window[self._place : self._place + 1]
            if following and following not in " \t\n\r":
                return following
            space = WHITE_SPACE.match(self._window, self._place)
            if space and space.end() < len(self._window):
                self._place = space.end()
                return self._window[self._place]
            self._place = len(self._window)
            if not self._more():
                return ""

    def _more(self) -> bool:
        """Double what is unread in the window, or begin a new one. Returns whether there was more
        to take.
        """
        size = max(FIRST_PIECE_BYTES, len(self._window) - self._place)
        piece = self._data[self._taken : self._taken + size]
        self._taken += len(piece)
        text = piece if isinstance(piece, str) else self._decoded(piece)
        self._dropped += self._place
        self._window = self._window[self._place :] + text
        self._place = 0
        return bool(piece)

    def _decoded(self, piece: bytes) -> str:
        """The characters that end in a piece of the text; an empty one ends the text."""
        if self._utf8 is None:
            self._utf8 = codecs.getincrementaldecoder("utf-8")()
        return self._utf8.decode(piece, final=not piece)

    def _count_retry(self) -> None:
        """Bound what is decoded in vain: a text could be made such that every bracket in it costs a
        whole piece. A list of 10 MB in a definition costs 44, for each of the five objects around
        it is tried as a whole.
        """
        self._retried += len(self._window) - self._place
        if self._retried > 8 * (len(self._data) + MOST_LIGHT_PIECE_BYTES):
            raise BeyondBound(TOO_DEEP)

    def _count_values(self, number: int) -> None:
        self._values += number
        if self._values > MOST_VALUES_OF_JSON or self._containers > MOST_CONTAINERS_OF_JSON:
            raise BeyondBound(TOO_MANY)

    def _count(self, value: Any, depth: int) -> None:
        """Count a value and all in it, level by level. Raises `ValueError` beyond a bound."""
        level = [value] if isinstance(value, (dict, list)) else []
        while level:
            if depth > MOST_DEPTH_OF_JSON:
                raise BeyondBound(TOO_DEEP)
            self._containers += len(level)
            self._count_values(sum(map(len, level)))
            depth += 1
            below: list[Any] = []
            for container in level:
                inner = container.values() if isinstance(container, dict) else container
                below += [item for item in inner if isinstance(item, (dict, list))]
            level = below


def read_json_text(text: JsonText) -> Any:
    """The one value that a JSON text holds."""
    return text.whole()


def read_json_members(text: JsonText) -> dict[str, Any]:
    """An object of which each member may be as large as a value may be."""
    return {key: text.value() for key in text.each_key()}
