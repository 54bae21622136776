"""A value that somebody asks for, made to fit an input of a node.

Models and people give numbers as text, sizes that a node does not take, and names that are nearly right. `fit_value`
and `fit_number` turn an `Argument` into what the input's `InputSpec` accepts: a number out of range becomes the nearest
in it, with a note that says so; a name is looked up, and refused with the closest ones where there is none. `fit_size`
finds the width and height for a size or an aspect ratio.

A number's step is kept for sizes only: ComfyUI does not check it (seen with 0.3.64).
"""

import contextlib
import math
import re
import sys
from typing import Any

from ..errors import BadArgument, ValueOutOfRange
from ..names import closest, find_name, quoted, shortened
from ..values import NO, YES, Argument, Size, as_text
from .definitions import InputSpec


def fit_value(wanted: Argument, spec: InputSpec) -> tuple[Any, str]:
    """A value as the input takes it, and a note where it had to be changed to fit, else "".

    Raises `BadArgument` for the wrong kind of value, and `ValueOutOfRange`, with the closest choices, for one that is
    not on offer.
    """
    value, text = wanted.value, str(wanted.value).strip()
    if spec.type in ("INT", "FLOAT"):
        return fit_number(wanted, spec)
    if spec.type == "BOOLEAN":
        if text.lower() not in YES + NO:
            raise BadArgument(f'{wanted.name} is "{shortened(text)}", which is neither true nor false.')
        return text.lower() in YES, ""
    if spec.choices:
        names = [str(choice) for choice in spec.choices]
        name = find_name(text, names)
        if name is None:
            more = f" Of {len(names)} choices these are like it: " if len(names) > 8 else " There are: "
            raise ValueOutOfRange(
                f'{wanted.name} is "{shortened(text)}", which is not on offer.',
                more.strip() + f" {quoted(closest(text, names, 8))}.",
            )
        return spec.choices[names.index(name)], ""
    if spec.type in ("STRING", "COMBO"):
        return (text if isinstance(value, (int, float)) and not isinstance(value, bool) else as_text(wanted)), ""
    return {"__value__": value} if isinstance(value, list) else value, ""  # a bare list would be read as a link


def fit_number(wanted: Argument, spec: InputSpec) -> tuple[float, str]:
    """A number as the input takes it, and a note where it had to be changed to fit, else ""; "7" and "7,5" will do.

    INT gives an `int`, FLOAT a `float`. Raises `BadArgument` for anything that is not a finite number.
    """
    whole = spec.type == "INT"
    value = wanted.value
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            text = re.sub(r"^(\d+),(\d{1,2})$", r"\1.\2", value.strip())  # a decimal comma; "1,000" is left to fail
            value = int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)
    low, high = spec.minimum, spec.maximum
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or abs(value) > sys.float_info.max or value != value:
        kind = "a whole number" if whole else "a number"
        span = f" from {low:g} to {high:g}" if low is not None and high is not None else ""
        raise BadArgument(f'{wanted.name} is "{shortened(wanted.value)}", which is no number.', f"Give {kind}{span}.")
    fitted: float = value if low is None else max(value, low)
    fitted = fitted if high is None else min(fitted, high)
    fitted = round(fitted) if whole else float(fitted)
    note = f"{wanted.name} {shortened(wanted.value, 20)} was changed to {fitted}" if fitted != value else ""
    return fitted, note


def fit_size(asked: Size | tuple[float, float], megapixels: float, width: InputSpec, height: InputSpec) -> Size:
    """The size that inputs for width and height take: `asked` in pixels, on their steps and in their ranges.

    An aspect ratio (across, down) becomes a size of about `megapixels` million pixels, in multiples of 64.
    """
    if isinstance(asked, Size):
        return Size(on_step(asked.width, width), on_step(asked.height, height))
    side, stretch = math.sqrt(megapixels * 1e6), math.sqrt(asked[0] / asked[1])
    return Size(on_step(side * stretch, width, 64), on_step(side / stretch, height, 64))


def on_step(length: float, spec: InputSpec, step: int = 0) -> int:
    """The length in pixels nearest to this one that an input takes: in its range, a multiple of its step or of `step`.

    Of the two the larger counts. An input without a maximum takes 16384, as those of ComfyUI's own nodes do.
    """
    step = max(step, int(spec.step or 1))
    low, high = int(spec.minimum or step), int(spec.maximum or 16384)
    return min(max(round(length / step) * step, math.ceil(low / step) * step), high // step * step)
