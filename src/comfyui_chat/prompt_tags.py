"""What other programs take out of a prompt: `<lora:name:0.8>`, as in A1111, and `--ar 16:9`, as in
Midjourney.

So do lines such as "Negative prompt: blurry" and "Steps: 20, CFG scale: 7", which A1111 writes
below a prompt.

ComfyUI's own nodes would read them as words of the description, and nothing would tell that they
had no effect. `read_tags` takes them out. What this tool has something for becomes a value; the
rest is left out, and said:

    read_tags("a dragon --ar 16:9 --v 6 <lora:ink:0.8>")
        == Tagged("a dragon", loras=("ink:0.8",), size="16:9", left_out=("--v 6",))
"""

import re
from dataclasses import dataclass

LORA_TAG = re.compile(r"<\s*lora\s*:(?P<inside>[^<>]*)>", re.IGNORECASE)
# A flag begins with two dashes, of which some keyboards make a long one.
FLAG = re.compile(r"(?<!\S)(?:--|—|–)([a-z]+)(?![\w-])", re.IGNORECASE)
SPACE_BEFORE = re.compile(r" ([,.;])")
SIZE_FLAGS, SEED_FLAGS, NEGATIVE_FLAGS = (
    ("ar", "aspect"),
    ("seed", "sameseed"),
    ("no", "neg", "negative"),
)
_WITH_VALUE = (
    "v version niji s stylize style q quality c chaos w weird iw sref cref sw cw stop p profile"
)
WITH_VALUE = frozenset(_WITH_VALUE.split())
WITHOUT_VALUE = frozenset({"tile", "hd", "fast", "relax", "turbo", "raw", "video", "draft"})


@dataclass(frozen=True)
class Tagged:
    """A prompt without its tags, and what they said."""

    text: str
    loras: tuple[str, ...] = ()  # each as "name:0.8"
    size: str = ""
    seed: str = ""
    steps: str = ""
    guidance: str = ""
    negative_prompt: str = ""
    left_out: tuple[str, ...] = ()  # tags that mean nothing here


def read_tags(prompt: str) -> Tagged:
    """A prompt with the tags of other programs taken out. A text without any stays as it is, to the
    last space.
    """
    loras = tuple(inside.strip() for inside in LORA_TAG.findall(prompt) if inside.strip(" :"))
    text, found, left_out = _without_lines(LORA_TAG.sub("", prompt) if loras else prompt)
    kept: list[str] = []
    place = 0
    flags = list(FLAG.finditer(text))
    for number, flag in enumerate(flags):
        name = flag[1].lower()
        end = flags[number + 1].start() if number + 1 < len(flags) else len(text)
        value = _value_of(name, text[flag.end() : end])
        if value is None:
            continue
        kept.append(text[place : flag.start()])
        place = flag.end() + len(value)
        words = value.strip(" =\t\n")
        kind = _kind_of_flag(name)
        if kind and words:
            found.setdefault(kind, words)
        else:
            left_out.append(f"--{flag[1]} {words}".strip())
    kept.append(text[place:])
    if loras or place:
        text = SPACE_BEFORE.sub(r"\1", " ".join("".join(kept).split())).strip(" ,;")
    return Tagged(text, loras, left_out=tuple(left_out), **found)


# The lines below a prompt, and of the last one what each part says.
NEGATIVE_LINE = re.compile(r"(?<![\w\"'])negative[ _]prompt ?:", re.IGNORECASE)
VALUES_LINE = re.compile(
    r"^[ \t]{0,9}steps: ?\d{1,4},[^\n]{0,500}?\b(?:sampler|cfg scale|seed|size):[^\n]*",
    re.IGNORECASE | re.MULTILINE,
)
LINE_VALUES = {"steps": "steps", "cfg scale": "guidance", "seed": "seed", "size": "size"}


def _without_lines(prompt: str) -> tuple[str, dict[str, str], list[str]]:
    """A prompt without the lines that A1111 writes below one, what they say, and what of it means
    nothing here.
    """
    found: dict[str, str] = {}
    left_out: list[str] = []
    values = VALUES_LINE.search(prompt)
    if values:
        prompt = prompt[: values.start()] + prompt[values.end() :]
        for part in values[0].split(","):
            name, _, value = part.partition(":")
            kind = LINE_VALUES.get(name.strip().lower(), "")
            if kind and value.strip():
                found[kind] = value.strip()
            elif part.strip():
                left_out.append(part.strip())
    negative = NEGATIVE_LINE.search(prompt)
    if negative:
        found["negative_prompt"] = prompt[negative.end() :].strip()
        prompt = prompt[: negative.start()]
    return prompt.strip(" ,;\n") if found else prompt, found, left_out


def _kind_of_flag(name: str) -> str:
    """The field of `Tagged` that a flag fills; "" for one that means nothing here."""
    for kind, names in (
        ("size", SIZE_FLAGS),
        ("seed", SEED_FLAGS),
        ("negative_prompt", NEGATIVE_FLAGS),
    ):
        if name in names:
            return kind
    return ""


def _value_of(name: str, behind: str) -> str | None:
    """What belongs to a flag of the text behind it, with its spaces; None for a flag that is not
    known.
    """
    if name in NEGATIVE_FLAGS:
        return behind
    if name in WITHOUT_VALUE:
        return ""
    if name not in WITH_VALUE and name not in SIZE_FLAGS and name not in SEED_FLAGS:
        return None
    value = re.match(r"[ =]{0,3}[\w.:/-]{0,40}", behind)
    return value[0] if value else ""
