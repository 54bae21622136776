"""Reads valves as they are stored: `Tolerant`, of which both kinds of valves are made.

No value is refused here. Open WebUI hands over whatever is stored, and a user may have stored
anything at all, past every check; but an error here would break every chat that has the tool. So
each value is converted to its type, or the default is taken, and `number` moves one into its range.
What was done so is in `problems`, which comfyui_status and the command `install` tell. What is
blank is as good as not set, and a valve that there is no more is passed over.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Self, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    PrivateAttr,
    field_validator,
    model_validator,
)

from ..names import quoted, shown_value
from ..values import clamp

SWITCHED_ON, SWITCHED_OFF = ("true", "1", "on", "yes"), ("false", "0", "off", "no")
# What the numbers may be, in the administrator's valves and in the user's; their descriptions say
# the same.
RANGES: Mapping[str, tuple[float, float]] = {
    "quality": (1, 100),
    "max_count": (1, 64),
    "max_steps": (1, 10_000),
    "max_megapixels": (0.07, 256),
    "max_upscaled_megapixels": (0.07, 256),
    "max_video_seconds": (0.1, 3600),
    "max_jobs": (0, 1000),
    "max_queue": (0, 10_000),
    "max_wait_minutes": (0.1, 1440),
    "ask_minutes": (0, 1440),
    "paid_run_dollars": (0.01, 1000),
    "paid_day_dollars": (0.01, 10_000),
}


class Tolerant(BaseModel):
    """A model that takes whatever is stored: an unreadable valve would otherwise break every chat
    of the tool.
    """

    model_config = ConfigDict(extra="ignore")
    # what was stored and could not be read, as sentences
    _misread: tuple[str, ...] = PrivateAttr(default=())

    @model_validator(mode="wrap")
    @classmethod
    def _noting(cls, stored: Any, read: ModelWrapValidatorHandler[Self]) -> Self:
        """The valves, with what could not be read of them."""
        held = read(stored)
        if isinstance(stored, Mapping):
            held._misread = tuple(held._unreadable(stored))
        return held

    def _unreadable(self, stored: Mapping[str, Any]) -> Iterator[str]:
        for name, valve in type(self).model_fields.items():
            value = stored.get(name)
            if is_blank(value) or valve.annotation is str:
                continue
            kind = valve.annotation
            said = f'The valve "{valve.title}" is {shown_value(value)}'
            counts = f"{json.dumps(getattr(self, name))} counts"
            if get_origin(kind) is Literal:
                choices = get_args(kind)
                if str(value).strip().lower() not in [choice.lower() for choice in choices]:
                    yield f"{said}, which is none of {quoted(choices)}: {counts}."
            elif kind is bool:
                if (
                    not isinstance(value, bool)
                    and str(value).strip().lower() not in SWITCHED_ON + SWITCHED_OFF
                ):
                    yield f"{said}, which is neither on nor off: {counts}."
            elif _stored_number(value, math.nan) != _stored_number(value, math.nan):
                yield f"{said}, which is no number: {counts}."

    def number(self, name: str) -> float:
        """A number in its range; the default stays, which may stand for something else."""
        value: float = getattr(self, name)
        if value == type(self).model_fields[name].default:
            return value
        return clamp(value, *RANGES[name])

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with what is stored, and what counts in its place, a sentence each."""
        found = list(self._misread)
        for name, (low, high) in RANGES.items():
            valve = type(self).model_fields.get(name)
            if valve is None or self.number(name) == getattr(self, name):
                continue
            value = getattr(self, name)
            found.append(
                f'The valve "{valve.title}" is {value:g}, and takes {low:g} to {high:g}: {self.number(name):g} counts.'
            )
        return tuple(found)

    @field_validator("*", mode="before")
    @classmethod
    def _tidy(cls, value: Any, info: Any) -> Any:
        """A stored value in the type of its field: words for a choice or a switch, numbers as text;
        the default for what cannot be read.
        """
        field = cls.model_fields[info.field_name]
        kind = field.annotation
        if is_blank(value) and kind is not str:
            return field.default
        if get_origin(kind) is Literal:
            return _stored_choice(value, field.default, get_args(kind))
        if kind is bool:
            return _stored_switch(value, field.default)
        if kind is str:
            return _stored_text(value, field.default)
        number = _stored_number(value, field.default)
        if kind is int:
            return int(number)
        return number


def is_blank(value: Any) -> bool:
    """Whether nothing is set: what is stored is missing, or has no letters."""
    return value is None or (isinstance(value, str) and not value.strip())


def _stored_choice(value: Any, default: str, choices: Sequence[str]) -> str:
    word = str(value).strip().lower()
    for choice in choices:
        if choice.lower() == word:
            return choice
    return default


def _stored_switch(value: Any, default: bool) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in SWITCHED_ON
    if isinstance(value, bool):
        return value
    return default


def _stored_text(value: Any, default: str) -> str:
    if isinstance(value, (dict, list)):
        return json.dumps(value)  # workflows that a program set as they are
    if value is None:
        return default
    return str(value)


def _stored_number(value: Any, default: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return default
    if math.isfinite(number):
        return number
    return default
