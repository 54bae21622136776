"""The numbers that stand in the texts of a graph, for nodes that turn texts into numbers.

A width may be read out of a text, "1024x768", or be how long a text is. `range_in` bounds the
numbers that come out of one text, and `range_before` those that come out of a node which is fed
with texts. A text that nodes put together, or take pieces out of, may hold any number: without its
commas "1,6,3,8,4" is 16384.
"""

import math
import re
from collections.abc import Iterator

from ..graph.roles import Roles
from .ranges import ANY_NUMBER, Range

MOST_NUMBERS_IN_TEXT = 50_000
# a number as programs read one: 1024, 16_384, 1.5, 1e4, or a colour, #00ff00
WRITTEN_NUMBER = re.compile(
    r"(?:#|0x)(?P<hexadecimal>[0-9a-f]{1,16})\b|\d[\d_]*(?:\.[\d_]*)?(?:e[+-]?\d{1,4})?",
    re.IGNORECASE,
)
READS_NUMBER = re.compile(r"convert|number|parse|to_?(int|float)", re.IGNORECASE)
NUMBER_PART = re.compile(r"[\w.+-]")  # what may stand in a number, or in the name of one
# Words in the names of classes that give on a text as it is, or one piece of it.
GIVES_ON = re.compile(
    r"primitive|constant|literal|combo|switch|reroute|list|show|preview|display|multiline"
    r"|trim|substring|case|extract|split",
    re.IGNORECASE,
)


def numbers_in(text: str) -> list[float]:
    """The numbers that a text holds, as many as count."""
    numbers: list[float] = []
    for found in WRITTEN_NUMBER.finditer(text):
        if len(numbers) >= MOST_NUMBERS_IN_TEXT:
            break
        if found["hexadecimal"]:
            numbers.append(float(int(found["hexadecimal"], 16)))
        else:
            numbers.append(float(found[0].replace("_", "").rstrip(".") or 0))
    return numbers


def range_in(text: str, class_type: str) -> Range:
    """The range of a number that a node of this class makes of a text: one that stands in it, or,
    unless the class says that it reads a number, how long the text is.
    """
    length = 0.0 if READS_NUMBER.search(class_type) else float(len(text))
    return Range.around([0.0, length, *numbers_in(text)])


def range_before(roles: Roles, node_id: str) -> Range:
    """The range of a number that a node makes of the texts that links bring to it."""
    high = 0.0
    for text in texts_before(roles, node_id):
        if text is None:
            return ANY_NUMBER
        high = max(high, range_in(text, roles.class_type(node_id)).high)
    return Range(0, high) if high < math.inf else ANY_NUMBER


def texts_before(roles: Roles, node_id: str) -> Iterator[str | None]:
    """The texts that links bring to a node; None for one that is not known before the run."""
    for source in roles.before([node_id], ("STRING", "")):
        if source == node_id:
            continue
        texts = [text for text in roles.inputs(source).values() if isinstance(text, str)]
        if roles.is_service(source) or not _gives_on(roles, source):
            yield None
        for text in texts:
            yield None if "\\" in text else text  # in JSON, "\u0031" is a 1


def _gives_on(roles: Roles, node_id: str) -> bool:
    """Whether the numbers in a node's text are those in the texts that it is given. One that puts
    another mark in the place of words leaves them apart.
    """
    if GIVES_ON.search(roles.class_type(node_id)):
        return True
    mark = roles.inputs(node_id).get("replace")
    if not isinstance(mark, str) or not mark or "regex" in roles.class_type(node_id).lower():
        return False
    return not NUMBER_PART.search(mark)
