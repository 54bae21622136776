"""values."""

import contextlib
import math
import re
from dataclasses import dataclass
from typing import Any

from .errors import BadArgument
from .names import shortened

NOT_GIVEN = ("", "auto", "default", "none", "null")  # what models write when they mean to leave an argument out


def same_value(one: Any, other: Any) -> bool:
    """Whether two values are the same to ComfyUI: 1 and 1.0 are, 1 and true are not."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def as_number(value: Any) -> float | None:
    """The number that a value is to ComfyUI, which takes "7" for one, or None."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value)
    return value if is_number(value) and math.isfinite(value) else None


def share(value: Any, part: float) -> Any:
    """A part of a number of steps, at least one; what is no number stays as it is."""
    return max(1, round(value * part)) if part != 1.0 and is_number(value) else value


def is_number(value: Any) -> bool:
    """Whether a value is a number; JSON's true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@dataclass(frozen=True)
class Wanted:
    """A value somebody asked for, with who it was: `name` for messages, `level` 0 argument, 1 user, 2 administrator."""

    value: Any
    name: str
    level: int = 0


def as_text(wanted: Wanted) -> str:
    """A text; a list of texts is joined. Raises `BadArgument` for anything else."""
    value = wanted.value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    if not isinstance(value, str):
        raise BadArgument(f"{wanted.name} is no text: {shortened(value)}.", "Give a text.")
    return value


YES, NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@dataclass(frozen=True)
class Size:
    """Width and height in pixels."""

    width: int
    height: int

    @property
    def megapixels(self) -> float:
        """Millions of pixels."""
        return self.width * self.height / 1e6

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


NAMED_RATIOS = {"square": (1.0, 1.0), "landscape": (3.0, 2.0), "portrait": (2.0, 3.0), "wide": (16.0, 9.0)}
SMALLEST_SIDE = 64  # smaller numbers are an aspect ratio, as in "16x9"


def read_size(wanted: Wanted | None) -> Size | tuple[float, float]:
    """What somebody means by a size: pixels, or an aspect ratio (across, down); nothing and "auto" mean a square.

    Raises `BadArgument` for what is neither.
    """
    text = str(wanted.value).strip().lower() if wanted else "auto"
    if wanted is None or text in NOT_GIVEN:
        return 1.0, 1.0
    if text in NAMED_RATIOS:
        return NAMED_RATIOS[text]
    pixels = re.fullmatch(r"(\d{1,6})(?:\s*(?:x|×|\*|by)\s*(\d{1,6}))?\s*(?:px|pixels)?", text)
    if pixels and max(int(pixels[1]), int(pixels[2] or 0)) >= SMALLEST_SIDE:
        return Size(int(pixels[1]), int(pixels[2] or pixels[1]))
    ratio = re.fullmatch(r"(\d+(?:\.\d+)?)\s*[:/x×]\s*(\d+(?:\.\d+)?)", text)
    if not ratio:
        raise BadArgument(
            f'{wanted.name} is "{shortened(wanted.value)}", which is no size.',
            'Give "auto", an aspect ratio such as "16:9", or width and height in pixels such as "1216x832".',
        )
    across, down = float(ratio[1]), float(ratio[2])
    if not (across and down and 1 / 8 <= across / down <= 8):
        raise BadArgument(f'{wanted.name} is "{text}".', "Give an aspect ratio between 1:8 and 8:1.")
    return across, down


def words_of(value: Any, name: str) -> str:
    """A text argument that may be left out. Raises `BadArgument`."""
    return as_text(Wanted(value, f"The argument {name}")) if is_given(name, value) else ""


def as_yes(value: Any, name: str) -> bool:
    """A switch, also when it is written as a word. Raises `BadArgument`."""
    plain = str(value).strip().lower()
    if plain in ("true", "yes", "on", "1"):
        return True
    if plain in ("false", "no", "off", "0", *NOT_GIVEN):
        return False
    raise BadArgument(f"The argument {name} is {shortened(value)}.", "Give true or false.")


def is_given(name: str, value: Any) -> bool:
    """Whether a caller means a value, or wrote something that stands for leaving it out."""
    if value is None or value == [] or (name == "seed" and str(value).strip().lower() in ("-1", "random")):
        return False
    return not (isinstance(value, str) and value.strip().lower() in (("",) if name == "negative_prompt" else NOT_GIVEN))


def clamp(value: float, low: float, high: float) -> float:
    """The nearest value in the range."""
    return min(max(value, low), high)
