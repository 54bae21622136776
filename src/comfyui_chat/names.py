"""names."""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

MODEL_FILE = re.compile(r"\.(safetensors|sft|ckpt|pth?|bin|gguf|onnx)$", re.IGNORECASE)


def simplified(name: str) -> str:
    """A name for comparing: without case, spaces and underscores."""
    return re.sub(r"[\s_]+", "", name).casefold()


# Names, numbers and sizes that somebody asks for, made to fit.


def base_name(name: str) -> str:
    """A file's name without its folder, whichever way the slashes go."""
    return name.replace("\\", "/").rsplit("/", 1)[-1]


def plain_name(name: str) -> str:
    """A model's name without folder, extension, case and punctuation, for comparing."""
    stem = MODEL_FILE.sub("", base_name(name))
    return re.sub(r"[\W_]+", "", stem.lower())


def find_name(wanted: str, choices: Sequence[str]) -> str | None:
    """The one of `choices` that is meant: exactly, else whatever its case, folder, slash direction or extension."""
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


LONGEST_NAME, MOST_NAMES = 120, 2000  # that are compared: what somebody writes may have no end


def closest(wanted: str, choices: Sequence[str], count: int = 3) -> list[str]:
    """The names most like the wanted one, best first; with none alike, simply the first ones."""
    plain = {choice: plain_name(choice)[:LONGEST_NAME] for choice in choices[:MOST_NAMES]}
    want = plain_name(wanted[-LONGEST_NAME:])

    def likeness(choice: str) -> float:
        inside = 1.0 if want and (want in plain[choice] or (plain[choice] and plain[choice] in want)) else 0.0
        return inside + difflib.SequenceMatcher(None, want, plain[choice]).ratio()

    return sorted(plain, key=likeness, reverse=True)[:count]


def quoted(names: Iterable[str]) -> str:
    """Names in a sentence."""
    return ", ".join(f'"{name}"' for name in names)


def shortened(text: Any, length: int = 80) -> str:
    """A value as it may stand in a message: one line, cut when long."""
    line = " ".join(str(text).split())
    return line if len(line) <= length else line[: length - 1] + "…"


def file_stem(prompt: str, seed: int | None) -> str:
    """A telling file name without extension: the first words of the prompt, in any script, and the seed."""
    plain = unicodedata.normalize("NFC", prompt)
    words = re.sub(r"[^\w]+", "-", plain, flags=re.UNICODE).strip("-_")[:48].rstrip("-_")
    return f"{words or 'picture'}-{seed}" if seed is not None else words or "picture"
