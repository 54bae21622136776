"""Names of files and models, compared and looked up; names and values put into messages.

People and models rarely write a name as ComfyUI lists it. `find_name` takes "detail tweaker" for
"SDXL\\Detail_Tweaker.safetensors", since both have the same `plain_name`. Where it finds none,
`names_with_words` tells which have all words of it, "juggernaut" for
"Juggernaut-XL_v9.safetensors", and `closest` which are alike. `quoted`, `shortened`, `beginning`,
`shown_value` and `duration` put names, values from anywhere and times into a message,
`without_paths` and `whole_characters` what others say, and `file_stem` names the files that are
made.
"""

import difflib
import functools
import operator
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .bounds import MOST_COMPARED_CHARACTERS, MOST_LIKENED_CHARACTERS, MOST_MESSAGE_CHARACTERS

# The most characters of a name that are compared, with its folder and without. Names may come in
# any length.
LONGEST_PATH, LONGEST_NAME = 4096, 120
# The endings of model files.
MODEL_FILE = re.compile(r"\.(safetensors|sft|ckpt|pth?|bin|gguf|onnx)$", re.IGNORECASE)


def find_name(wanted: str, choices: Sequence[str]) -> str | None:
    """The one of `choices` that `wanted` means, or None.

    That is the one that is exactly alike; else the first that differs in case, slashes or outer
    spaces only; else the first with the same `plain_name`.
    """
    if wanted in choices:
        return wanted
    wanted = wanted.strip()[-LONGEST_PATH:]
    tidy_names, plain_names = _names_to_compare(tuple(choices))
    return tidy_names.get(_tidy_name(wanted)) or plain_names.get(plain_name(wanted))


@functools.lru_cache(maxsize=4)
def _names_to_compare(choices: tuple[str, ...]) -> tuple[dict[str, str], dict[str, str]]:
    """The first of `choices` for each tidy name and for each plain one. Cached, since many names
    may be looked up in one list, and a list may have tens of thousands.
    """
    tidy_names: dict[str, str] = {}
    plain_names: dict[str, str] = {}
    for choice in first_names(choices, MOST_COMPARED_CHARACTERS):
        end = choice[-LONGEST_PATH:]
        tidy_names.setdefault(_tidy_name(end), choice)
        plain_names.setdefault(plain_name(end), choice)
    plain_names.pop("", None)
    return tidy_names, plain_names


def _tidy_name(name: str) -> str:
    """A name without regard to case and the direction of slashes."""
    return name.replace("\\", "/").lower()


# Words beside a name that tell nothing of which one is meant.
_NO_NAME = (
    "the a an my model models checkpoint lora loras workflow workflows template file latest version"
)
NO_NAME = frozenset(_NO_NAME.split())
WORD_OF_NAME = re.compile(r"\d+(?:\.\d+)+|[^\W\d_]+|\d+")
VERSION_SIGN = re.compile(r"(?<![^\W_])v(?=\d)")
MOST_WORDS_OF_NAME = 12  # of a name that is asked for; more are a sentence


def name_words(name: str) -> list[str]:
    """The words by which somebody names a model or a workflow: of "Stable Diffusion XL" they are
    "sd" and "xl", of "the SD 1.5 checkpoint" "sd" and "15".
    """
    text = MODEL_FILE.sub("", unicodedata.normalize("NFKC", name[-LONGEST_NAME:]).casefold())
    text = VERSION_SIGN.sub(" ", text)
    text = (
        text.replace("stable diffusion", "sd")
        .replace("stable-diffusion", "sd")
        .replace("stable_diffusion", "sd")
    )
    words = [word.replace(".", "") for word in WORD_OF_NAME.findall(text)]
    return [word for word in words if word not in NO_NAME]


def names_with_words(wanted: str, choices: Iterable[str]) -> list[str]:
    """Those of the choices in which all words of the wanted name are: of "juggernaut xl" it is
    "SDXL/Juggernaut-XL_v9.safetensors". Folders count, punctuation and case do not. One that has no
    other words is the only one. Where none has the words of a folder, as of "stabilityai/sdxl",
    those behind it do.
    """
    choices = list(choices)
    found = _names_with(name_words(wanted), choices)
    if not found and base_name(wanted) != wanted:
        return _names_with(name_words(base_name(wanted)), choices)
    return found


def _names_with(words: Sequence[str], choices: Iterable[str]) -> list[str]:
    if not words or len(words) > MOST_WORDS_OF_NAME or len("".join(words)) < 2:
        return []
    found = [
        choice
        for choice in first_names(choices, MOST_COMPARED_CHARACTERS)
        if _has_all(words, choice)
    ]
    whole = [choice for choice in found if plain_name(choice) == "".join(words)]
    return whole if len(whole) == 1 else found


def _has_all(words: Sequence[str], choice: str) -> bool:
    """Whether all words are in a name. One sign alone has to be a word of it: "3d" is not in
    "sd3.5".
    """
    text = MODEL_FILE.sub("", choice).casefold()
    plain = re.sub(r"[\W_]+", "", text)
    return all(
        word in plain if len(word) > 1 else word in WORD_OF_NAME.findall(text) for word in words
    )


def plain_name(name: str) -> str:
    """A model's name for comparing, without folder, extension, case and punctuation.

    "SDXL/Detail_Tweaker-XL v1.safetensors" becomes "detailtweakerxlv1".
    """
    stem = MODEL_FILE.sub("", base_name(name))
    return re.sub(r"[\W_]+", "", stem.lower())


def base_name(name: str) -> str:
    """A file's name without its folder, with slashes of either direction."""
    return name.replace("\\", "/").rsplit("/", 1)[-1]


def without_number(name: str) -> str:
    """The name of an input without the number at its end: "lora_name" for "lora_name_2"."""
    plain = name.rstrip("0123456789")
    return plain if plain == name else plain.removesuffix("_")


def simplified(name: str) -> str:
    """A name for comparing, without case, spaces and underscores; unlike `plain_name` it keeps all
    else.
    """
    return re.sub(r"[\s_]+", "", name).casefold()


def first_names(names: Iterable[str], most_characters: int) -> list[str]:
    """The first names that together are no longer than that."""
    first: list[str] = []
    characters = 0
    for name in names:
        characters += len(name)
        if characters > most_characters:
            break
        first.append(name)
    return first


def closest(wanted: str, choices: Sequence[str], count: int = 3) -> list[str]:
    """The `count` names most like the wanted one, best first; where none is alike, simply the first
    ones.

    A name that contains the wanted one, or is contained in it, comes before all others.
    """
    some = first_names(choices, MOST_LIKENED_CHARACTERS)
    plain_names = {choice: plain_name(choice[-LONGEST_NAME:]) for choice in some}
    plain_wanted = plain_name(wanted[-LONGEST_NAME:])
    # it learns the second text only once
    matcher = difflib.SequenceMatcher(None, "", plain_wanted, autojunk=False)

    def likeness(choice: str) -> float:
        plain = plain_names[choice]
        matcher.set_seq1(plain)
        ratio = matcher.ratio()
        if plain and plain_wanted and (plain_wanted in plain or plain in plain_wanted):
            return 1.0 + ratio
        return ratio

    return sorted(plain_names, key=likeness, reverse=True)[:count]


# how alike two names are, of 1, that may be taken for one another; and one's word
CLOSE, CLOSE_WORD = 0.7, 0.75


def close_names(wanted: str, choices: Sequence[str], count: int = 3) -> list[str]:
    """The names, best first, that somebody may have meant who wrote this one: none where none is
    like it.
    """
    plain_wanted = plain_name(wanted[-LONGEST_NAME:])
    return [
        name
        for name in closest(wanted, choices, count)
        if _is_close(plain_wanted, name[-LONGEST_NAME:])
    ]


def _is_close(plain_wanted: str, name: str) -> bool:
    """Whether a name is like the wanted one: as a whole, or one of its words."""
    plain = plain_name(name)
    if min(len(plain), len(plain_wanted)) >= 3 and (plain in plain_wanted or plain_wanted in plain):
        return True
    if _likeness(plain, plain_wanted) >= CLOSE:
        return True
    return any(
        _likeness(word, plain_wanted) >= CLOSE_WORD
        for word in re.findall(r"[^\W_]{3,}", name.lower())
    )


def _likeness(one: str, other: str) -> float:
    """How alike two texts are, from 0 to 1."""
    return difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()


def quoted(names: Iterable[str]) -> str:
    """Names as a list within a sentence, each in double quotes."""
    return ", ".join(f'"{name}"' for name in names)


def shortened(text: Any, length: int = 80) -> str:
    """A value as it can stand in a message: on one line, of at most `length` characters."""
    whole = str(text)
    line = " ".join(whole[:MOST_MESSAGE_CHARACTERS].split())
    if len(line) <= length and len(whole) <= MOST_MESSAGE_CHARACTERS:
        return line
    return line[: length - 1] + "…"


def beginning(text: str, length: int) -> str:
    """The beginning of a text, of at most `length` characters, with its line breaks."""
    text = text.strip("\r\n")
    if len(text) <= length:
        return text
    return text[: length - 1] + "…"


# A file is named after so many characters of the prompt at most. Its name is shorter by far, but in
# some scripts one letter takes several characters.
STEM_PROMPT = 500


def file_stem(prompt: str, seed: int | None) -> str:
    """A file name without extension: the first words of the prompt, in any script, and the seed:
    "a-red-fox-7".
    """
    plain = unicodedata.normalize("NFC", prompt[:STEM_PROMPT])
    words = re.sub(r"[^\w]+", "-", plain).strip("-_")
    stem = words[:48].rstrip("-_") or "picture"
    if seed is None:
        return stem
    return f"{stem}-{seed}"


HALF_CHARACTER = re.compile(r"[\ud800-\udfff]")


def whole_characters(value: Any) -> Any:
    """A text, or all texts in a value of JSON, in whole characters. Models and their programs cut
    texts in the middle of an emoji, which JSON writes as two halves: halves that stand together
    become one, and lone ones are left out, since neither a tokenizer nor a database takes them.
    What is whole is given back itself.
    """
    if _is_whole(value):
        return value
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    if isinstance(value, Mapping):
        items = {whole_characters(key): whole_characters(item) for key, item in value.items()}
        is_whole = all(key in value and value[key] is item for key, item in items.items())
        return value if is_whole and len(items) == len(value) else items
    if isinstance(value, list):
        whole = [whole_characters(item) for item in value]
        return value if all(map(operator.is_, value, whole)) else whole
    return value


def _is_whole(value: Any) -> bool:
    """Whether there is no half of a character in a value of JSON."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            if not item.isascii() and HALF_CHARACTER.search(item):
                return False
        elif isinstance(item, dict):  # nearly all there is, and told far sooner than a mapping
            waiting += item
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
        elif not isinstance(item, (int, float)) and isinstance(item, Mapping):
            waiting += item.keys()
            waiting += item.values()
    return True


# The beginning of a path from the root of a file system, to the last slash in it. Spaces in it
# count behind the usual roots and on Windows only, since elsewhere a slash may stand between words.
PATH = re.compile(
    r"""(?<![\w:/\\.])(?:
        [A-Za-z]:[\\/](?:[^\\/:*?"'<>|\r\n]{1,100}[\\/]){0,40}
        | \\\\[\w.-]{1,60}\\(?:[^\\/:*?"'<>|\r\n]{1,100}[\\/]){0,40}
        | /(?:home|Users|mnt|media|Volumes|root|opt|srv|data|workspace|app|tmp)/(?:[^/:"'<>|\r\n]{1,100}/){0,40}
        | /(?:[\w.@+~-]{1,100}/){1,40}
    )""",
    re.VERBOSE,
)


def without_paths(text: str) -> str:
    """A text of a server with the names of files alone in the place of their whole paths: of
    "/home/ann/ComfyUI/models/vae/ae.sft" only "ae.sft"."""
    return PATH.sub("", text)


def shown_value(value: Any) -> str:
    """A value in a message; of a list or an object, which may be long, only that it is one."""
    if isinstance(value, list):
        return "a list"
    if isinstance(value, Mapping):
        return "an object"
    return f'"{shortened(value)}"'


def duration(seconds: float) -> str:
    """A time span as people say it in English: "12 s", "3 min", "1 h 20 min"."""
    hours, minutes, rest = duration_parts(seconds)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{rest} s"


def duration_parts(seconds: float) -> tuple[int, int, int]:
    """A time span in the hours, minutes and seconds in which people say it: a short one in seconds,
    a longer one in minutes, or in hours and minutes.
    """
    whole = round(seconds)
    if whole < 100:
        return 0, 0, whole
    hours, minutes = divmod(round(whole / 60), 60)
    return hours, minutes, 0
