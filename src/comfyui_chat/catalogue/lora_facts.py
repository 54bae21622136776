"""What LoRAs say of themselves, told to a model: what they were made for, and the words that call
it.

`told_loras` is for a list of LoRAs, `lora_notes` for a picture that is made with some:

    {"fox.safetensors": 'made for SDXL; trigger words "sks fox"; tags "snow", "1girl"'}
    the LoRA "fox" says that it was made for SD 1.5, and juggernautXL.safetensors is a model of SDXL: it may do nothing

Files say it in their metadata (server/model_files.py), which anybody may have written: it is told
as a quotation, shortened and without links. What a base is called differs from trainer to trainer,
so `family_of` brings such names, and those of model files, to a few families, of which no LoRA fits
another.
"""

import asyncio
import contextlib
import functools
import re
from collections.abc import Collection, Sequence

from ..errors import ServerError
from ..graph.facts import model_files, model_folder
from ..graph.workflow import Workflow
from ..names import MODEL_FILE, base_name, quoted, shortened
from ..server.client import ComfyUIServer
from ..server.model_files import ModelFacts
from ..tasks import gather
from ..threads import FILES
from .missing import without_links
from .request import FittedWorkflow

LORAS = "loras"  # the folder
MAIN_FOLDERS = ("checkpoints", "diffusion_models")
MOST_LORAS_ASKED = 8  # of a list, and of one call
LORA_SECONDS = 4.0  # for what all of them say; who is late is told without it
TRIGGER_LENGTH, TAG_LENGTH, KIND_LENGTH = 120, 30, 40  # characters
LINE_LENGTH, MOST_CHARACTERS_OF_LORAS = 240, 1400
MOST_TAGS_TOLD, MOST_TRIGGER_TAGS = 6, 2
# Tags of so many pictures that they tell nothing of one LoRA.
_EVERYDAY_TAGS = """
    1girl, 1boy, solo, girl, boy, woman, man, no humans, realistic, photo, photorealistic,
    simple background, white background, black background, outdoors, indoors, looking at viewer,
    long hair, short hair, black hair, brown hair, blonde hair, blue eyes, brown eyes, smile,
    breasts, large breasts, open mouth, closed mouth, standing, upper body, full body, portrait,
    masterpiece, best quality, highres, absurdres, monochrome, greyscale, bangs, blush
"""
EVERYDAY_TAGS = frozenset(tag.strip() for tag in _EVERYDAY_TAGS.split(","))

# Families of models, by what their files and LoRAs call them; the first that is found counts.
FAMILIES = (
    ("Flux 2", r"flux[-_. ]?2"),
    ("Chroma", r"chroma"),
    ("Flux 1", r"flux"),
    ("Qwen-Image", r"qwen[-_. ]?image"),
    ("Z-Image", r"z[-_. ]?image|zimage"),
    ("Stable Diffusion 3", r"(sd|stable[-_. ]?diffusion)[-_. ]?v?3"),
    ("SDXL", r"sd[-_. ]?xl|stable[-_. ]?diffusion[-_. ]?xl|xl|pony|illustrious|noobai"),
    ("Stable Diffusion 2", r"(sd|stable[-_. ]?diffusion)[-_. ]?v?2"),
    ("Stable Diffusion 1.5", r"(sd|stable[-_. ]?diffusion)[-_. ]?v?1"),
    ("HunyuanVideo", r"hunyuan[-_. ]?video"),
    ("Wan", r"(?<![a-z])wan(?![a-z])"),
    ("LTX", r"(?<![a-z])ltx"),
    ("HiDream", r"hidream"),
    ("Lumina", r"lumina"),
)


def family_of(text: str) -> str:
    """The family that a name of a model, or of the base of a LoRA, speaks of; "" where it does not
    tell.
    """
    plain = text[:300].lower()
    return next((name for name, pattern in FAMILIES if re.search(pattern, plain)), "")


async def lora_facts(server: ComfyUIServer, names: Sequence[str]) -> dict[str, ModelFacts]:
    """What the first of these LoRAs say of themselves, within `LORA_SECONDS`; those that say
    nothing are left out.
    """
    found: dict[str, ModelFacts] = {}

    async def ask(name: str) -> None:
        with contextlib.suppress(ServerError):
            facts = await server.model_files.facts(LORAS, name)
            if facts and facts != ModelFacts():
                found[name] = facts

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LORA_SECONDS):
            await gather(4, [functools.partial(ask, name) for name in names[:MOST_LORAS_ASKED]])
    return {name: found[name] for name in names[:MOST_LORAS_ASKED] if name in found}


async def told_loras(server: ComfyUIServer, names: Sequence[str]) -> dict[str, str]:
    """What these LoRAs say of themselves, each in a line: as many as there is room for in a
    list.
    """
    told: dict[str, str] = {}
    left = MOST_CHARACTERS_OF_LORAS
    for name, facts in (await lora_facts(server, names)).items():
        line = shortened(_line(facts), LINE_LENGTH)
        left -= len(name) + len(line)
        if line and left >= 0:
            told[name] = line
    return told


def _line(facts: ModelFacts) -> str:
    """What a LoRA says of itself: 'made for SDXL; trigger words "sks fox"; tags "snow"'."""
    parts: list[str] = []
    base = family_of(facts.kind) or _words(facts.kind, KIND_LENGTH)
    if base:
        parts.append(f"made for {base}")
    trigger = _words(facts.trigger, TRIGGER_LENGTH)
    always, others = _plain_tags(facts.always), _plain_tags(facts.tags)
    if trigger:
        parts.append(f'trigger words "{trigger}"')
    elif always:
        parts.append(f"in nearly all of its training pictures {quoted(always[:MOST_TAGS_TOLD])}")
        always = []
    tags = [*always, *others][:MOST_TAGS_TOLD]
    if tags:
        parts.append(f"tags {quoted(tags)}")
    return "; ".join(parts)


def _plain_tags(tags: Sequence[str]) -> list[str]:
    plain = dict.fromkeys(_words(tag, TAG_LENGTH) for tag in tags)
    return [tag for tag in plain if tag]


def _words(text: str, length: int) -> str:
    """A stranger's words as they stand in a quotation."""
    return shortened(without_links(text[:1000]).replace('"', "'"), length)


async def lora_notes(
    server: ComfyUIServer,
    fitted: FittedWorkflow,
    bound: Workflow,
    model: str,
    files: Sequence[str],
    called: Collection[str] = (),
) -> list[str]:
    """Notes on the LoRAs that a picture is made with: one that was made for models of another
    family, and words that call what it was trained for and that its prompt does not have. Those
    `called` need no such words.
    """
    facts = await lora_facts(server, files)
    if not facts:
        return []
    family = await _family_of_model(server, fitted, bound, model)
    others = await FILES.run_unless_short([bound], _families_in, bound)
    prompt = str(bound.value("prompt") or "").lower()
    notes: list[str] = []
    for file, said in facts.items():
        name = MODEL_FILE.sub("", base_name(file))
        made_for = family_of(said.kind)
        if family and made_for and made_for not in {family, *others}:
            its_own = f"{shortened(base_name(model))} is a model of {family}"
            notes.append(
                f'the LoRA "{name}" says that it was made for {made_for}, and {its_own}: it may do nothing'
            )
        trigger = _words(said.trigger, TRIGGER_LENGTH) or ", ".join(_telling_tags(said))
        if file in called:
            continue
        if trigger and not all(word.strip() in prompt for word in trigger.lower().split(",")):
            notes.append(
                f'the LoRA "{name}" says that it is called by words that are not in the prompt: "{trigger}"'
            )
    return notes


def _families_in(bound: Workflow) -> set[str]:
    """The families of all models that a graph loads, by their names: a LoRA may be for any of them.
    Blocks, where the graph is large.
    """
    files = model_files(bound.graph, bound.definitions)
    return {family_of(base_name(file.file)) for file in files if file.folder in MAIN_FOLDERS}


def _telling_tags(facts: ModelFacts) -> list[str]:
    """Tags of nearly all training pictures that are no everyday words: these call what a LoRA was
    trained for, where its file has no words for that.
    """
    plain = [
        tag
        for tag in _plain_tags(facts.always)
        if tag.lower().replace("_", " ") not in EVERYDAY_TAGS
    ]
    return plain[:MOST_TRIGGER_TAGS]


async def _family_of_model(
    server: ComfyUIServer, fitted: FittedWorkflow, bound: Workflow, model: str
) -> str:
    """The family of the model that is used, by its name, what its file says, or the workflow that
    was made for it.
    """
    by_name = family_of(base_name(model))
    if by_name or not model:
        return by_name
    for target in bound.parameters.get("model", ())[:1]:
        folder = model_folder(bound.graph[target.node_id]["class_type"], target.input)
        with contextlib.suppress(ServerError, TimeoutError):
            async with asyncio.timeout(LORA_SECONDS):
                facts = await server.model_files.facts(folder, model) if folder else None
            if facts and family_of(facts.kind):
                return family_of(facts.kind)
    return family_of(fitted.family.name)
