"""A value that somebody asks for, made to fit an input of a node.

Models and people give numbers as text, sizes that a node does not take, and names that are nearly
right. `fit_value` and `fit_number` turn an `Argument` into what the input's `InputSpec` accepts: a
number out of range becomes the nearest in it, with a note that says so; a name is looked up, and
refused with the closest ones where there is none. `fit_size` finds the width and height for a size
or an aspect ratio.

A number's step is kept for sizes only: ComfyUI does not check it (seen with 0.3.64).
"""

import math
import re
from collections.abc import Sequence
from typing import Any

from ..counts import read_number
from ..errors import BadArgument, SeveralNames, ValueOutOfRange
from ..names import MODEL_FILE, closest, find_name, names_with_words, quoted, shortened
from ..sizes import Ratio, Size
from ..values import SWITCH_WORDS, Argument, as_text, is_number, unwrapped
from .definitions import InputSpec
from .nodes import input_value


def fit_value(wanted: Argument, spec: InputSpec) -> tuple[Any, str]:
    """A value as the input takes it, and a note where it had to be changed to fit, else "".

    Raises `BadArgument` for the wrong kind of value, and `ValueOutOfRange`, with the closest
    choices, for one that is not on offer.
    """
    if spec.type in ("INT", "FLOAT"):
        return fit_number(wanted, spec)
    if spec.type == "BOOLEAN":
        return _fit_switch(wanted), ""
    if spec.choices:
        return _fit_choice(wanted, spec.choices)
    if spec.type not in ("STRING", "COMBO"):
        return input_value(wanted.value), ""
    if is_number(wanted.value):
        return str(wanted.value), ""
    return as_text(wanted), ""


def _fit_switch(wanted: Argument) -> bool:
    text = str(unwrapped(wanted.value)).strip()
    word = text.lower()
    if word not in SWITCH_WORDS:
        raise BadArgument(f'{wanted.name} is "{shortened(text)}", which is neither true nor false.')
    return SWITCH_WORDS[word]


def _fit_choice(wanted: Argument, choices: Sequence[Any]) -> tuple[Any, str]:
    """The choice of that name, or the one that has all words of it, with a note. Raises
    `ValueOutOfRange`.
    """
    text = str(unwrapped(wanted.value)).strip()
    names = [str(choice) for choice in choices]
    name = find_name(text, names) or find_name(_as_sampler(text), names)
    if name is not None:
        return choices[names.index(name)], ""
    worded = names_with_words(text, names)
    if len(worded) == 1:
        return choices[
            names.index(worded[0])
        ], f'{wanted.name} "{shortened(text)}" was taken for "{worded[0]}"'
    if worded:
        error = ValueOutOfRange(
            f'{wanted.name} is "{shortened(text)}", which could be any of: {quoted(worded[:8])}.',
            "Give one of these.",
        )
        if all(map(MODEL_FILE.search, worded)):
            error.several = SeveralNames(wanted.name, text, tuple(worded))
        raise error
    message = f'{wanted.name} is "{shortened(text)}", which is not on offer.'
    offered = quoted(closest(text, names, 8))
    if len(names) <= 8:
        raise ValueOutOfRange(message, f"There are: {offered}.")
    raise ValueOutOfRange(message, f"The closest of {len(names)} choices are: {offered}.")


def _as_sampler(text: str) -> str:
    """A sampler's name as ComfyUI writes it: of "DPM++ 2M" it is "dpmpp 2m", of "Euler a" "euler
    ancestral".
    """
    return re.sub(r"(?<=[\w ]) a\b(?! )", " ancestral", text.replace("+", "p"), flags=re.IGNORECASE)


def fit_number(wanted: Argument, spec: InputSpec) -> tuple[float, str]:
    """A number as the input takes it, and a note where it had to be changed to fit, else ""; "7",
    "7,5" and "20 steps" will do.

    INT gives an `int`, FLOAT a `float`. Raises `BadArgument` for anything that is not a finite
    number.
    """
    number = read_number(wanted.value)
    if number is None:
        raise BadArgument(
            f'{wanted.name} is "{shortened(wanted.value)}", which is not a number.',
            f"Give {_expected_number(spec)}.",
        )
    fitted = number
    if spec.minimum is not None:
        fitted = max(fitted, spec.minimum)
    if spec.maximum is not None:
        fitted = min(fitted, spec.maximum)
    fitted = round(fitted) if spec.type == "INT" else float(fitted)
    if fitted == number:
        return fitted, ""
    given = shortened(wanted.value, 20)
    return fitted, f"{wanted.name} {given} was changed to {fitted}"


def _expected_number(spec: InputSpec) -> str:
    """What to give instead of what is not a number: "a whole number from 1 to 100"."""
    kind = "a number"
    if spec.type == "INT":
        kind = "a whole number"
    if spec.minimum is None or spec.maximum is None:
        return kind
    return f"{kind} from {spec.minimum:g} to {spec.maximum:g}"


def fit_size(asked: Size | Ratio, megapixels: float, width: InputSpec, height: InputSpec) -> Size:
    """The size that inputs for width and height take: `asked` in pixels, on their steps and in
    their ranges.

    An aspect ratio (across, down) becomes a size of about `megapixels` million pixels, in multiples
    of 64.
    """
    if isinstance(asked, Size):
        return Size(on_step(asked.width, width), on_step(asked.height, height))
    across, down = asked
    side = math.sqrt(megapixels * 1e6)
    stretch = math.sqrt(across / down)
    return Size(on_step(side * stretch, width, 64), on_step(side / stretch, height, 64))


def on_step(length: float, spec: InputSpec, step: int = 0) -> int:
    """The length in pixels nearest to this one that an input takes: in its range, a multiple of its
    step or of `step`.

    Of the two the larger counts. An input without a maximum takes 16384, as those of ComfyUI's own
    nodes do.
    """
    step = max(step, int(spec.step or 1), 1)
    lowest = math.ceil(int(spec.minimum or step) / step) * step
    highest = int(spec.maximum or 16384) // step * step
    nearest = round(length / step) * step
    return min(max(nearest, lowest), highest)
