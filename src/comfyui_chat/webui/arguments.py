"""What a call says: its arguments as values with their names, without those that stand for leaving
one out.

Models fill in arguments that nobody asked for: 0 steps, a seed of 0 or -1, a negative prompt that
is empty. Taken at their word they would make another picture than was meant, and say that all went
well. So `read_arguments` and `read_inputs` leave them out, and put a note to those where somebody
may have meant it.

    read_arguments({"steps": 0, "seed": 0, "size": "16:9"}).values == {"size": Argument("16:9", "The
    argument size")} read_inputs('{"seed": -1, "steps": 8}').values == {"steps": Argument(8, "The
    input steps")}
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..bounds import MOST_ARGUMENT_DEPTH, MOST_ARGUMENT_ITEMS
from ..counts import read_number, read_strength, says_no_number, says_random, says_same_seed
from ..errors import BadArgument
from ..graph.discovery import parameter_name
from ..names import quoted, shortened, simplified
from ..prompt_tags import Tagged, read_tags
from ..run.asked_inputs import EXTRAS, THE_PROMPT
from ..sizes import says_own_size
from ..spelling import parsed_json
from ..values import Argument, as_text, check_arguments, is_given, listed_texts
from .chat import Chat


@dataclass(frozen=True)
class Said:
    """What a call says, each value by the name of its argument or input, and notes on how it was
    understood.
    """

    values: Mapping[str, Argument] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


# "auto" and "default" may well be what a picture is to show
NO_PROMPT = ("", "null", "none", "undefined", "n/a")


def read_prompt(prompt: Any) -> str:
    """The prompt as it was given. Raises `BadArgument` when it is not a text, or has nothing but
    tags.
    """
    text = as_text(
        Argument("" if prompt in (None, ...) else listed_texts(prompt), "The argument prompt")
    )
    if read_tags(text).text.strip().lower() in NO_PROMPT:
        raise BadArgument(
            "The argument prompt is empty.", "Call again with a text that says what to show."
        )
    return text


def parted_prompt(prompt: Any, arguments: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    """A prompt that is a whole call as JSON, {"prompt": "a fox", "size": "16:9"}, as its text and
    the arguments with what else it says; what a call gives besides goes first. Any other prompt
    stays as it is, since some models want descriptions in JSON.
    """
    call = parsed_json(prompt)
    if not isinstance(call, Mapping) or not isinstance(call.get("prompt"), str):
        return prompt, arguments
    others = {name: value for name, value in call.items() if name != "prompt"}
    if not others.keys() <= arguments.keys():
        return prompt, arguments
    given = {name: value for name, value in arguments.items() if is_given(value)}
    return call["prompt"], {**arguments, **others, **given}


def read_arguments(arguments: Mapping[str, Any], prompt: str = "") -> Said:
    """The arguments that the caller means. Of the tags of other programs in the `prompt` the values
    are among them. Raises `BadArgument` for what is too much.
    """
    check_arguments(arguments)
    given = {name: value for name, value in arguments.items() if is_given(value)}
    return _with_tags(_understood(given, "argument"), read_tags(prompt))


def several_prompts_note(prompt: Any) -> tuple[str, ...]:
    """A note on a prompt that is a list of texts, which a model may have meant for one picture
    each.
    """
    texts = listed_texts(prompt)
    if isinstance(texts, list) and len(texts) > 1:
        return (
            "the texts of the prompt were joined into one; for different subjects, call once for each",
        )
    return ()


def _with_tags(said: Said, tags: Tagged) -> Said:
    """What a call says with what the tags in its prompt say; of a value that is there already, they
    say nothing.
    """
    values = dict(said.values)
    notes = [*said.notes]
    if tags.loras:
        given = values.get("loras")
        before = [given.value] if given else []
        values["loras"] = Argument([*before, *tags.loras], "The argument loras")
        notes.append(
            f"LoRAs were taken out of the prompt: {quoted(map(shortened, tags.loras[:10]))}"
        )
    for name in ("size", "seed", "steps", "guidance", "negative_prompt"):
        value = getattr(tags, name)
        if value and name not in values:
            values[name] = Argument(value, "The prompt")
            notes.append(f'{name} "{shortened(value)}" was taken out of the prompt')
    if tags.left_out:
        notes.append(
            f"{quoted(map(shortened, tags.left_out[:10]))} means nothing here and was left out of the prompt"
        )
    return Said(values, tuple(notes))


def read_inputs(inputs: Any, prompt: Any = None) -> Said:
    """The argument inputs, in whatever shape (`named_values`), with the argument prompt among them.
    Raises `BadArgument`.
    """
    named = named_values(inputs)
    check_arguments(named, "input")
    notes: tuple[str, ...] = ()
    if is_given(prompt):
        text = as_text(Argument(listed_texts(prompt), THE_PROMPT))
        others = [
            name
            for name in named
            if parameter_name(name) == "prompt" and named[name] not in (None, "", text)
        ]
        notes = tuple(
            f"the argument prompt was followed, and the input {shortened(name, 40)} left out"
            for name in others
        )
        named = {name: value for name, value in named.items() if parameter_name(name) != "prompt"}
        named["prompt"] = text
    said = _understood(
        {name: value for name, value in named.items() if _is_said(name, value)}, "input"
    )
    values = dict(said.values)
    tags = Tagged("")
    for name, wanted in said.values.items():
        if parameter_name(name) == "prompt" and isinstance(wanted.value, str):
            tags = read_tags(wanted.value)
            values[name] = replace(wanted, value=tags.text)
    if "prompt" in values and is_given(prompt):
        values["prompt"] = replace(values["prompt"], name=THE_PROMPT)
    return _with_tags(Said(values, (*notes, *said.notes)), tags)


# Under which keys models put inputs into an object of their own, and how they write one input as an
# object.
WRAPPER_KEYS = (
    "inputs",
    "parameters",
    "params",
    "arguments",
    "args",
    "settings",
    "options",
    "values",
    "nodes",
)
NAME_AND_VALUE = (("name", "key", "input", "parameter"), ("value", "values"))


def named_values(inputs: Any, depth: int = 0) -> dict[str, Any]:
    """The inputs by their names, in any of these shapes, also as JSON in a text. Raises
    `BadArgument` for any other.

    {"steps": 8}      {"inputs": {"steps": 8}}      [{"name": "steps", "value": 8}]      [["steps", 8]]
    [{"steps": 8}, {"cfg": 3}]      "steps: 8, cfg: 3"      ["steps=8", "cfg=3"]
    """
    value = parsed_json(inputs)
    if not is_given(value):
        return {}
    if isinstance(value, str):
        value = [value]
    if depth == 0 and isinstance(value, Mapping):
        check_arguments(value, "input", may_hold_files=True)
    elif depth == 0:
        check_arguments({"inputs": value})
    named: dict[str, Any] = {}
    if isinstance(value, Mapping):
        for key, item in value.items():
            inner = parsed_json(item) if str(key).lower() in WRAPPER_KEYS else None
            if isinstance(inner, (Mapping, list)) and depth < MOST_ARGUMENT_DEPTH:
                named.update(named_values(inner, depth + 1))
            else:
                named[str(key)] = item
        return named
    if not isinstance(value, list) or len(value) > MOST_ARGUMENT_ITEMS:
        raise _no_inputs(inputs)
    for item in value:
        named.update(_one_named(item, inputs))
    return named


def _one_named(item: Any, inputs: Any) -> Mapping[str, Any]:
    """The inputs that one item of a list says. `inputs` is the whole of it, for the error."""
    item = parsed_json(item)
    if isinstance(item, Mapping):
        names = [item[key] for key in NAME_AND_VALUE[0] if isinstance(item.get(key), str)]
        values = [item[key] for key in NAME_AND_VALUE[1] if key in item]
        if names and values:
            return {names[0]: values[0]}
        return {str(key): value for key, value in item.items()}
    if isinstance(item, list) and len(item) == 2 and isinstance(item[0], str):
        return {item[0]: item[1]}
    pairs = _pairs_in(item) if isinstance(item, str) else {}
    if not pairs:
        raise _no_inputs(inputs)
    return pairs


# An input in a text: its name, and its value up to the next name.
NAMED_IN_TEXT = re.compile(r"(?:^|[,;\n])\s{0,9}([a-z][\w .]{0,60}?)\s{0,9}[:=]", re.IGNORECASE)


def _pairs_in(text: str) -> dict[str, str]:
    """The inputs that a text names, each with its value: "steps: 8, size=64x64". None where it
    begins otherwise.
    """
    names = list(NAMED_IN_TEXT.finditer(text))
    if not names or text[: names[0].start()].strip():
        return {}
    ends = [name.start() for name in names[1:]] + [len(text)]
    values = [text[name.end() : end].strip() for name, end in zip(names, ends, strict=True)]
    return {name[1]: value for name, value in zip(names, values, strict=True)}


def _no_inputs(inputs: Any) -> BadArgument:
    return BadArgument(
        f"The argument inputs is {shortened(inputs)}, which names no inputs.",
        'Give an object such as {"seed": 7}.',
    )


# Under which names a model puts pictures into `inputs`; they belong into `images`.
_PICTURE_INPUTS = "image picture photo inputimage initimage sourceimage startimage firstframe referenceimage imageurl"
PICTURE_INPUTS = frozenset(_PICTURE_INPUTS.split())
MASK_INPUTS = ("mask", "maskimage", "imagemask")


def pictures_among(images: Any, named: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The argument images, or else what `inputs` name as a picture, with a mask last; and the other
    inputs.
    """
    pictures = {name: value for name, value in named.items() if plain_input(name) in PICTURE_INPUTS}
    masks = {name: value for name, value in named.items() if plain_input(name) in MASK_INPUTS}
    given = [value for value in (*pictures.values(), *masks.values()) if is_given(value)]
    if not pictures or is_given(images):
        return images, dict(named)
    return given, {
        name: value for name, value in named.items() if name not in {**pictures, **masks}
    }


def plain_input(name: str) -> str:
    """The name of an input for comparing, without a number or a plural."""
    return simplified(name).rstrip("s0123456789")


def _is_said(name: str, value: Any) -> bool:
    """Whether the value of an input is said. Words such as "none" stand for nothing only where no
    workflow means them: for the seed, and for what is not an input of its own.
    """
    if value is None or value == "":
        return False
    if name in EXTRAS or parameter_name(name) in ("seed", "negative_prompt"):
        return is_given(value)
    return True


def _understood(given: Mapping[str, Any], kind: str) -> Said:
    """The values that are meant, of all that are given as an "argument" or an "input"."""
    unset = [name for name, value in given.items() if says_no_number(parameter_name(name), value)]
    values: dict[str, Argument] = {}
    notes: list[str] = []
    for name, value in given.items():
        parameter = parameter_name(name)
        if parameter == "size" and says_own_size(value):
            continue
        if parameter == "seed" and (says_random(value) or (unset and read_number(value) == 0)):
            continue
        if name in unset:
            if parameter in ("strength", "denoise"):
                notes.append(
                    f"{shortened(name, 60)} {shortened(value, 20)} was taken for not given"
                )
            continue
        if name == "strength":
            value = _strength(value)
        elif name in ("model", "workflow"):
            value = _name_in(value)
        elif parameter in ("prompt", "negative_prompt"):
            value = listed_texts(value)
        elif parameter == "lyrics":
            value = _in_lines(value)
        values[name] = Argument(value, f"The {kind} {shortened(name, 60)}")
    return Said(values, tuple(notes))


def _name_in(value: Any) -> Any:
    """The name in a list of one, or in an object with a name: of ["SDXL"] and {"name": "SDXL"} it
    is "SDXL".
    """
    value = parsed_json(value)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, Mapping):
        value = next(
            (value[key] for key in ("name", "model", "workflow", "id") if value.get(key)), value
        )
    return value


def _in_lines(value: Any) -> Any:
    """Lyrics as one text with their lines: of {"verse": "Rain"} it is "[verse]" and "Rain"."""
    parts = parsed_json(value)
    if isinstance(parts, Mapping):
        parts = [line for name, text in parts.items() for line in (f"[{name}]", _in_lines(text))]
    if isinstance(parts, list) and all(isinstance(part, str) for part in parts):
        return "\n".join(parts)
    return value


def _strength(value: Any) -> Any:
    """The number that a strength means; what cannot be understood is refused where its range is
    known.
    """
    strength = read_strength(value)
    return value if strength is None else strength


async def with_earlier_seed(chat: Chat, arguments: Any, kind: str = "argument") -> Any:
    """The arguments with the seed of the chat's newest result where theirs is "last" or "same": in
    the older way of calling tools a model no longer sees what it was. `kind` is what each is
    called. Raises `BadArgument` where nothing was made yet, and for a seed that is too much; all
    the others are measured where they are read.
    """
    if not isinstance(arguments, Mapping):
        return arguments
    read = dict(arguments)
    for name, value in arguments.items():
        if parameter_name(str(name)) != "seed":
            continue
        check_arguments({name: value}, kind)
        if not says_same_seed(value):
            continue
        seed = await chat.earlier_seed()
        if seed is None:
            raise BadArgument(
                f'The argument seed is "{shortened(value)}", and nothing in this chat tells its seed.',
                "Leave it out for a random one, or give a number.",
            )
        read[name] = seed
    return read
