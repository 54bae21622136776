"""Reads what a model writes to name a file of the chat: "2", "last", an id, a data URI.

`read_references` takes an argument apart into words; models write lists in many ways:

    ["1", "last 2"]      "1, last 2"      '["1", "last 2"]'      1

A word that is an id, an address or a data URI (`FILE_REFERENCE`, `DATA_URI`) names its file. For any other
`pick_pictures` says which pictures of the chat it means. webui/chat.py, which knows the chat, puts the two together and
reads the files; of data URIs `read_data_uri` gives the content.
"""

import base64
import contextlib
import json
import re
from collections.abc import Sequence
from typing import Any

from ..errors import BadArgument, LimitExceeded
from ..media.kinds import MAX_INPUT_BYTES
from ..names import shortened
from ..values import is_given

# A file's id, alone or in its address: "/api/v1/files/<id>/content", with or without the host before it.
FILE_REFERENCE = re.compile(r"(?:\S{0,500}/api/v1/files/)?([0-9a-fA-F-]{36})(?:/content(?:/\S{0,500})?)?")
DATA_URI = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w=.-]+)*;base64,")
OF_AUTHOR = ("saved", "author", "keep")  # written in place of a file: the one that the workflow names
OF_IMAGE = ("transparency", "transparent", "alpha")  # written in place of a mask: the picture's own


def read_references(value: Any, name: str = "images") -> list[str]:
    """The words of the argument called `name`: of a list, of one text, of several behind commas, or of a list written
    as a text. What stands for leaving it out ("none", "auto") is dropped, and a data URI is kept whole.

    Raises `BadArgument`.
    """
    if isinstance(value, str) and value.strip().startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(value)
    if value is None:
        return []
    items = value if isinstance(value, list) else [value]
    words: list[str] = []
    for item in items:
        if isinstance(item, bool) or not isinstance(item, (str, int, float)):
            raise BadArgument(
                f"The argument {name} is {shortened(value)}.",
                'Give numbers, "last", or ids or URLs of files of this chat.',
            )
        text = str(item)
        if DATA_URI.match(text):
            words.append(text)
        else:
            words += text.split(",")
    return [word.strip() for word in words if is_given("images", word)]


LAST = re.compile(
    r"(?:the )?(?:last|latest|newest|most recent)(?: (\d{1,2}|two|three))?(?: (?:picture|image|photo|one)s?)?"
)
NUMBERED = re.compile(r"(?:the )?(?:(?:picture|image|photo|number|no\.?) ?)?#? ?(\d{1,5})(?:\.0)?")
COUNTS = {"two": 2, "three": 3}
ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5}


def pick_pictures(words: str, pictures: Sequence[str]) -> list[str]:
    """The pictures that a word means, of all `pictures` of a chat in their order.

        "2", "#2", "image 2", "the second one"  -> the second      "last", "the latest picture"  -> the last
        "last 2", "last two images"             -> the last two

    Raises `BadArgument` for other words, and for a number that the chat does not have.
    """
    text = " ".join(words.lower().split())
    last = LAST.fullmatch(text)
    number = _number_in(text)
    if not last and number is None:
        raise BadArgument(
            f'"{shortened(words)}" is not a picture of this chat.',
            'Give a number from 1, "last", "last 2", or the id or URL of a file of this chat.',
        )
    if not pictures:
        raise BadArgument(
            "There is no picture in this chat.", "Ask the user to attach one, or make one with generate_image."
        )
    if last:
        count = COUNTS.get(last[1]) or int(last[1] or 1)
        if 1 <= count <= len(pictures):
            return list(pictures[-count:])
    elif number and number <= len(pictures):
        return [pictures[number - 1]]
    amount = f"{len(pictures)} pictures"
    if len(pictures) == 1:
        amount = "1 picture"
    raise BadArgument(
        f'There is no "{shortened(words)}" in this chat: it has {amount}.',
        f"Give a number from 1 to {len(pictures)}.",
    )


def _number_in(text: str) -> int | None:
    """The number of one picture: of "image 2" or "the second one" it is 2."""
    numbered = NUMBERED.fullmatch(text)
    if numbered:
        return int(numbered[1])
    first_word, _, _ = text.removeprefix("the ").partition(" ")
    return ORDINALS.get(first_word)


def read_data_uri(uri: str) -> tuple[str, bytes]:
    """A name for messages, and the content of a data URI. Raises `BadArgument` and `LimitExceeded`. Blocks."""
    if len(uri) * 3 / 4 > MAX_INPUT_BYTES:
        raise LimitExceeded(f"A file of the chat is larger than {MAX_INPUT_BYTES // 2**20} MB.", "Give a smaller one.")
    _, _, encoded = uri.partition(",")
    try:
        return "the attached file", base64.b64decode(encoded, validate=True)
    except ValueError:
        raise BadArgument("A file of the chat is not a valid data URI.", "Ask the user to attach it again.") from None
