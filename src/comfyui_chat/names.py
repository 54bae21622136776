"""Names of files and models, compared and looked up; names and values put into messages.

People and models rarely write a name as ComfyUI lists it. `find_name` takes "detail tweaker" for
"SDXL\\Detail_Tweaker.safetensors", since both have the same `plain_name`; `closest` suggests names where none fits.
`quoted`, `shortened`, `shown_value` and `duration` put names, values from anywhere and times into a message, and
`file_stem` names the files that are made.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# The endings of model files.
MODEL_FILE = re.compile(r"\.(safetensors|sft|ckpt|pth?|bin|gguf|onnx)$", re.IGNORECASE)


def find_name(wanted: str, choices: Sequence[str]) -> str | None:
    """The one of `choices` that `wanted` means, or None.

    That is the one that is exactly alike; else the first that differs in case, slashes or outer spaces only; else the
    first with the same `plain_name`.
    """
    tidy, plain = wanted.strip().replace("\\", "/").lower(), plain_name(wanted[-4096:])
    return next(
        (
            choice
            for same in (
                lambda choice: choice == wanted,
                lambda choice: choice.replace("\\", "/").lower() == tidy,
                lambda choice: bool(plain) and plain_name(choice) == plain,
            )
            for choice in choices
            if same(choice)
        ),
        None,
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


def simplified(name: str) -> str:
    """A name for comparing, without case, spaces and underscores; unlike `plain_name` it keeps all else."""
    return re.sub(r"[\s_]+", "", name).casefold()


# `closest` compares no more characters of a name, and no more names: its input may be of any length.
LONGEST_NAME, MOST_NAMES = 120, 2000


def closest(wanted: str, choices: Sequence[str], count: int = 3) -> list[str]:
    """The `count` names most like the wanted one, best first; where none is alike, simply the first ones."""
    plain = {choice: plain_name(choice)[:LONGEST_NAME] for choice in choices[:MOST_NAMES]}
    want = plain_name(wanted[-LONGEST_NAME:])

    def likeness(choice: str) -> float:
        inside = 1.0 if want and (want in plain[choice] or (plain[choice] and plain[choice] in want)) else 0.0
        return inside + difflib.SequenceMatcher(None, want, plain[choice]).ratio()

    return sorted(plain, key=likeness, reverse=True)[:count]


def quoted(names: Iterable[str]) -> str:
    """Names as a list within a sentence, each in double quotes."""
    return ", ".join(f'"{name}"' for name in names)


def shortened(text: Any, length: int = 80) -> str:
    """A value as it can stand in a message: on one line, of at most `length` characters."""
    line = " ".join(str(text).split())
    return line if len(line) <= length else line[: length - 1] + "…"


def file_stem(prompt: str, seed: int | None) -> str:
    """A file name without extension: the first words of the prompt, in any script, and the seed: "a-red-fox-7"."""
    plain = unicodedata.normalize("NFC", prompt)
    words = re.sub(r"[^\w]+", "-", plain, flags=re.UNICODE).strip("-_")[:48].rstrip("-_")
    return f"{words or 'picture'}-{seed}" if seed is not None else words or "picture"


def shown_value(value: Any) -> str:
    """A value in a message; of a list or an object, which may be long, only that it is one."""
    if isinstance(value, (list, Mapping)):
        return "a list" if isinstance(value, list) else "an object"
    return f'"{shortened(value)}"'


def duration(seconds: float) -> str:
    """A time span as people say it: "12 s", "3 min", "1 h 20 min"."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    hours, minutes = divmod(round(whole / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
