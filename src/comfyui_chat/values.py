"""Values that somebody asks for: whether one was given, and what is meant by it.

Open WebUI passes on a model's arguments unchecked, and valves hold whatever was typed, so values
come in any type and spelling. `is_given` tells whether one is meant at all, and `check_arguments`
refuses what is too much. An `Argument` is a value together with who asked for it, so that an error
can name the argument or valve. `as_text`, `words_of` and `as_yes` read what may be given for a text
and a switch; sizes, counts and lengths have modules of their own. What depends on a workflow's own
ranges and choices is made to fit later, in graph/fitting.

The functions at the end read JSON values of files and answers: `text_of`, `list_of` and `object_of`
where anything may stand, `is_number` and those after it as ComfyUI understands numbers.
"""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .bounds import MOST_ARGUMENT_CHARACTERS, MOST_ARGUMENT_LEVELS, MOST_ARGUMENT_VALUES
from .errors import BadArgument
from .names import shortened
from .spelling import parsed_json

# What models write when they mean to leave an argument out.
NOT_GIVEN = ("", "auto", "default", "none", "null")
_ALSO_NOT_GIVEN = (
    "undefined|n/a|unspecified|not specified|not given|not applicable|optional|unset|nil|any|best|automatic"
    "|default model|-|--|?"
)
ALSO_NOT_GIVEN = frozenset(_ALSO_NOT_GIVEN.split("|"))


def is_given(value: Any) -> bool:
    """Whether a value was given, and not something that stands for leaving an argument out: None,
    false, an empty list or object, the texts in `NOT_GIVEN`, and `...`, which is the default of
    what has to be given.
    """
    if value is None or value is False or value is ... or value == [] or value == {}:
        return False
    if not isinstance(value, str):
        return True
    word = value.strip().lower()
    return word not in NOT_GIVEN and word not in ALSO_NOT_GIVEN


def word_for_none(value: Any) -> str:
    """The word by which an argument is left out, as it was written: "default", "auto"; "" where it
    is given, or left out without a word.
    """
    return "" if is_given(value) or not isinstance(value, str) else value.strip()


@dataclass(frozen=True)
class Argument:
    """A value that somebody asked for, and who it was."""

    value: Any
    name: str  # in messages: "The argument size"
    # 0 an argument of the call, 1 a valve of the user, 2 a valve of the administrator
    level: int = 0


def check_arguments(
    arguments: Mapping[str, Any], kind: str = "argument", may_hold_files: bool = False
) -> None:
    """Raise `BadArgument` for arguments that say more than anybody means: before they are read, and
    by name. A file in a data URI has a bound of its own, where there may be one.
    """
    if len(arguments) > MOST_ARGUMENT_VALUES:
        raise BadArgument(
            f"The call has {len(arguments)} {kind}s.",
            "Give only those that differ from what is saved.",
        )
    for name, value in arguments.items():
        is_file = may_hold_files and isinstance(value, str) and value.startswith("data:")
        check_extent(
            Argument([str(name), "" if is_file else value], f"The {kind} {shortened(name, 60)}")
        )


def check_extent(wanted: Argument) -> None:
    """Raise `BadArgument` for a value with too much in it: characters, values, or levels of lists
    and objects.
    """
    level = [wanted.value]
    characters = count = 0
    for _ in range(MOST_ARGUMENT_LEVELS):
        characters += sum(len(value) for value in level if isinstance(value, str))
        containers = [value for value in level if isinstance(value, (list, tuple, Mapping))]
        count += sum(map(len, containers))
        if not containers and characters <= MOST_ARGUMENT_CHARACTERS:
            return
        if characters > MOST_ARGUMENT_CHARACTERS or count > MOST_ARGUMENT_VALUES:
            break
        level = [value for container in containers for value in _all_in(container)]
    raise BadArgument(
        f"{wanted.name} is longer than anything that can be meant.",
        f"A text may have {MOST_ARGUMENT_CHARACTERS} characters, a list or an object {MOST_ARGUMENT_VALUES} values in "
        f"{MOST_ARGUMENT_LEVELS} levels.",
    )


def _all_in(container: Any) -> list[Any]:
    """What is in a list or an object, with its keys."""
    if isinstance(container, Mapping):
        return [*container.keys(), *container.values()]
    return list(container)


# Under which keys an object holds nothing but a value.
ONLY_KEYS = frozenset(
    {"value", "text", "name", "prompt", "content", "description", "model", "workflow", "id"}
)


def unwrapped(value: Any) -> Any:
    """The value that a list or an object holds alone: of [4], {"value": 4} and {"name": "4"} it is
    4 or "4". Any other value stays as it is.
    """
    for _ in range(MOST_ARGUMENT_LEVELS):
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        elif isinstance(value, Mapping) and len(value) == 1 and not ONLY_KEYS.isdisjoint(value):
            value = next(iter(value.values()))
        else:
            break
    return value


def as_text(wanted: Argument) -> str:
    """A text; a list of texts is joined by commas. Raises `BadArgument` for anything else, and for
    one too long.
    """
    check_extent(wanted)
    value = unwrapped(wanted.value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    if not isinstance(value, str):
        raise BadArgument(f"{wanted.name} is not a text: {shortened(value)}.", "Give a text.")
    return value


def listed_texts(value: Any) -> Any:
    """The list of texts that a text holds as JSON, '["a fox", "red"]'; any other value as it is."""
    listed = parsed_json(value)
    if isinstance(listed, list) and listed and all(isinstance(item, str) for item in listed):
        return listed
    return value


def words_of(value: Any, name: str) -> str:
    """The text of an argument, or "" where none was given. Raises `BadArgument` for what is not a
    text.
    """
    if not is_given(value):
        return ""
    return as_text(Argument(listed_texts(value), f"The argument {name}"))


# What a switch may be written as, in lower case.
SWITCH_WORDS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


def as_yes(value: Any, name: str) -> bool:
    """A switch, also one written as a word; one that is not given is off. Raises `BadArgument`."""
    word = str(value).strip().lower()
    if word in NOT_GIVEN:
        return False
    if word in SWITCH_WORDS:
        return SWITCH_WORDS[word]
    raise BadArgument(
        f"The argument {name} is {shortened(value)}, which is neither yes nor no.",
        "Give true or false.",
    )


# JSON values of files and answers, which may hold anything in each other's place.


def text_of(value: Any, default: str = "") -> str:
    """A text; `default` for anything else, and for an empty text."""
    return value if isinstance(value, str) and value else default


def list_of(value: Any) -> list[Any]:
    """A list; an empty one for anything else."""
    return value if isinstance(value, list) else []


def object_of(value: Any) -> Mapping[str, Any]:
    """A JSON object; an empty one for anything else."""
    is_object = isinstance(value, dict) or isinstance(value, Mapping)  # noqa: SIM101 - the former is told far sooner
    return value if is_object else {}


def is_number(value: Any) -> bool:
    """Whether a value is a number; true and false are not, although Python takes them for 1 and
    0.
    """
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def as_number(value: Any) -> float | None:
    """The finite number that a value is to ComfyUI, which also takes the text "7" for one; None for
    all else.

    A whole number in a text becomes an `int`: as a `float`, a seed of 64 bits would lose its last
    digits.
    """
    if isinstance(value, str):
        text = value.strip()
        read = int if re.fullmatch(r"[+-]?\d+", text) else float
        try:
            value = read(text)
        except ValueError:
            return None
    if not is_number(value) or not abs(value) <= sys.float_info.max:  # "not <=", since NaN is not
        return None
    number: float = value
    return number


def same_value(one: Any, other: Any) -> bool:
    """Whether two values are the same to ComfyUI: 1 and 1.0 are, 1 and true are not."""
    if isinstance(one, bool) != isinstance(other, bool):
        return False
    return bool(one == other)


def share(value: Any, part: float) -> Any:
    """A share of a number of steps, such as 0.5 of 20, and at least 1; what is not a number stays
    as it is.
    """
    if part == 1.0 or not is_number(value):
        return value
    return max(1, round(value * part))


def clamp(value: float, low: float, high: float) -> float:
    """The nearest value from `low` to `high`."""
    return min(max(value, low), high)
