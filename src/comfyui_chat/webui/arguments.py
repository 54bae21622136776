"""What a call says: its arguments as values with their names, without those that stand for leaving one out.

Models fill in arguments that nobody asked for: 0 steps, a seed of 0 or -1, a negative prompt that is empty. Taken at
their word they would make another picture than was meant, and say that all went well. So `read_arguments` and
`read_inputs` leave them out, and put a note to those where somebody may have meant it.

    read_arguments({"steps": 0, "seed": 0, "size": "16:9"}).values == {"size": Argument("16:9", "The argument size")}
    read_inputs('{"seed": -1, "steps": 8}').values == {"steps": Argument(8, "The input steps")}
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..counts import read_number, read_strength, says_no_number, says_random, says_same_seed
from ..errors import BadArgument
from ..graph.discovery import parameter_name
from ..names import quoted, shortened
from ..prompt_tags import Tagged, read_tags
from ..run.planning import EXTRAS
from ..spelling import parsed_json
from ..values import Argument, as_text, check_arguments, is_given
from .chat import Chat


@dataclass(frozen=True)
class Said:
    """What a call says, each value by the name of its argument or input, and notes on how it was understood."""

    values: Mapping[str, Argument] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_prompt(prompt: Any) -> str:
    """The prompt as it was given. Raises `BadArgument` when it is not a text, or has nothing but tags."""
    text = as_text(Argument(prompt, "The argument prompt"))
    if not read_tags(text).text.strip():
        raise BadArgument("The argument prompt is empty.", "Call again with a text that says what to show.")
    return text


def read_arguments(arguments: Mapping[str, Any], prompt: str = "") -> Said:
    """The arguments that the caller means. Of the tags of other programs in the `prompt` the values are among them.
    Raises `BadArgument` for what is too much."""
    check_arguments(arguments)
    given = {name: value for name, value in arguments.items() if is_given(name, value)}
    return _with_tags(_understood(given, "argument"), read_tags(prompt))


def _with_tags(said: Said, tags: Tagged) -> Said:
    """What a call says with what the tags in its prompt say; of a value that is there already, they say nothing."""
    values = dict(said.values)
    notes = [*said.notes]
    if tags.loras:
        given = values.get("loras")
        before = [given.value] if given else []
        values["loras"] = Argument([*before, *tags.loras], "The argument loras")
        notes.append(f"LoRAs were taken out of the prompt: {quoted(map(shortened, tags.loras[:10]))}")
    for name in ("size", "seed", "negative_prompt"):
        value = getattr(tags, name)
        if value and name not in values:
            values[name] = Argument(value, "The prompt")
            notes.append(f'{name} "{shortened(value)}" was taken out of the prompt')
    if tags.left_out:
        notes.append(f"{quoted(map(shortened, tags.left_out[:10]))} means nothing here and was left out of the prompt")
    return Said(values, tuple(notes))


def read_inputs(inputs: Any) -> Said:
    """The argument inputs, an object or one written as JSON in a text. Raises `BadArgument`."""
    inputs = parsed_json(inputs)
    if not is_given("inputs", inputs):
        return Said()
    if not isinstance(inputs, Mapping):
        raise BadArgument(f"The argument inputs is {shortened(inputs)}.", 'Give an object such as {"seed": 7}.')
    check_arguments(inputs, "input")
    named = {str(key): value for key, value in inputs.items()}
    said = _understood({name: value for name, value in named.items() if _is_said(name, value)}, "input")
    for name, wanted in said.values.items():
        if parameter_name(name) == "prompt" and isinstance(wanted.value, str):
            tags = read_tags(wanted.value)
            values = {**said.values, name: replace(wanted, value=tags.text)}
            return _with_tags(Said(values, said.notes), tags)
    return said


def _is_said(name: str, value: Any) -> bool:
    """Whether the value of an input is said. Words such as "none" stand for nothing only where no workflow means them:
    for the seed, and for what is not an input of its own."""
    if value is None or value == "":
        return False
    if name in EXTRAS or parameter_name(name) == "seed":
        return is_given(name, value)
    return True


def _understood(given: Mapping[str, Any], kind: str) -> Said:
    """The values that are meant, of all that are given as an "argument" or an "input"."""
    unset = [name for name, value in given.items() if says_no_number(parameter_name(name), value)]
    values: dict[str, Argument] = {}
    notes: list[str] = []
    for name, value in given.items():
        parameter = parameter_name(name)
        if parameter == "seed" and (says_random(value) or (unset and read_number(value) == 0)):
            continue
        if name in unset:
            if parameter in ("strength", "denoise"):
                notes.append(f"{shortened(name, 60)} {shortened(value, 20)} was taken for not given")
            continue
        if name == "strength":
            value = _strength(value)
        values[name] = Argument(value, f"The {kind} {shortened(name, 60)}")
    return Said(values, tuple(notes))


def _strength(value: Any) -> Any:
    """The number that a strength means; what cannot be understood is refused where its range is known."""
    strength = read_strength(value)
    return value if strength is None else strength


async def with_earlier_seed(chat: Chat, arguments: Any, kind: str = "argument") -> Any:
    """The arguments with the seed of the chat's newest result where theirs is "last" or "same": in the older way of
    calling tools a model no longer sees what it was. `kind` is what each is called. Raises `BadArgument` where nothing
    was made yet, and for what is too much."""
    if not isinstance(arguments, Mapping):
        return arguments
    check_arguments(arguments, kind)
    read = dict(arguments)
    for name, value in arguments.items():
        if parameter_name(str(name)) != "seed" or not says_same_seed(value):
            continue
        seed = await chat.earlier_seed()
        if seed is None:
            raise BadArgument(
                f'The argument seed is "{shortened(value)}", and nothing in this chat tells its seed.',
                "Leave it out for a random one, or give a number.",
            )
        read[name] = seed
    return read
