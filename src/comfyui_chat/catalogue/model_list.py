"""What list_models answers: which models are installed, by their kinds.

`list_models` lists them on one server, and `one_list` (catalogue/listings.py) merges servers. Then
`told_models` makes it short enough for a model to read:

    {"installed": {"checkpoints": 3, "loras": 300}, "checkpoints": ["a.safetensors", ...], "loras": ["anime", ...],
     "more": {"loras": 260}}
"""

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from ..bounds import MOST_FOLDERS
from ..errors import BadArgument
from ..names import close_names, quoted, shortened, simplified
from ..server.client import ComfyUIServer
from ..tasks import gather
from .lora_facts import LORAS, MOST_LORAS_ASKED, told_loras
from .task_words import SEVERAL, asks_for_everything, is_task_word, search_words

# of an answer: less than 900 tokens, since names have few characters a token
MOST_MODEL_CHARACTERS = 2400
# the first number with which the answer is short enough
NAMES_OF_KIND = (60, 45, 30, 20, 12, 8, 5, 3, 2, 1)

# What people call a kind of model -> ComfyUI's folder for it, or one of `SAMPLING_KINDS`.
MODEL_KINDS: Mapping[str, str] = {
    "checkpoint": "checkpoints",
    "unet": "diffusion_models",
    "diffusion_model": "diffusion_models",
    "lora": "loras",
    "clip": "text_encoders",
    "text_encoder": "text_encoders",
    "upscaler": "upscale_models",
    "upscale": "upscale_models",
    "upscalers": "upscale_models",
    "upscale_model": "upscale_models",
    "controlnets": "controlnet",
    "vaes": "vae",
    "embedding": "embeddings",
    "sampler": "samplers",
    "scheduler": "schedulers",
}
USUAL_KINDS = (
    "checkpoints",
    "diffusion_models",
    "loras",
    "vae",
    "text_encoders",
    "upscale_models",
    "controlnet",
)
# named where no kind is
OVERVIEW_KINDS = (*USUAL_KINDS[:3], "upscale_models", "controlnet", "embeddings")
ALL_KINDS = ("model", "models", "allmodels", "none")
SAID_BY_FILES = "what the files say of themselves, quoted"  # the key
KIND_WORDS = frozenset(
    {"model", "models", "lora", "loras", "checkpoint", "checkpoints", "file", "files"}
)
# the input of KSampler that lists them
SAMPLING_KINDS = {"samplers": "sampler_name", "schedulers": "scheduler"}


async def list_models(server: ComfyUIServer, kind: str, search: str) -> dict[str, Any]:
    """The installed models of a kind whose names hold all words of `search`. Without a kind: of all
    kinds, and how many there are of each. A kind that is the name of a model, such as "flux", is
    searched for. Raises `BadArgument` for a kind that does not exist.
    """
    kinds = await _model_kinds(server)
    words = _words_of(search)
    several = [part for part in SEVERAL.split(kind) if part.strip()]
    if len(several) > 1:
        return await _models_of_several(
            server, [_read_kind(part, kinds) for part in several], words
        )
    try:
        asked_kind = _read_kind(kind, kinds)
    except BadArgument:
        said = _words_of(kind)
        found = (
            await list_models(server, "", kind) if said and not any(map(is_task_word, said)) else {}
        )
        if not found or "installed" in found:
            raise
        return {"note": f'"{shortened(kind)}" is not a kind; these names hold it.', **found}
    if asked_kind:
        answer = _models_of_one_kind(asked_kind, await _models_of(server, asked_kind), words)
        return answer | await _about_loras(server, answer, words)
    return await _models_of_all_kinds(server, kinds, words)


async def _models_of_several(
    server: ComfyUIServer, kinds: Sequence[str], words: Sequence[str]
) -> dict[str, Any]:
    """The answer for several kinds that were named in one; "" among them is passed over."""
    answer: dict[str, Any] = {}
    for kind in kinds:
        if kind:
            answer[kind] = _with_words(await _models_of(server, kind), words)
    return answer


async def _models_of_all_kinds(
    server: ComfyUIServer, kinds: Sequence[str], words: Sequence[str]
) -> dict[str, Any]:
    """The answer where no kind is named: an overview, or with words the models whose names hold
    them.
    """
    models = {each_kind: await _models_of(server, each_kind) for each_kind in kinds}
    counts = {each_kind: len(names) for each_kind, names in models.items() if names}
    if not words:
        return {
            "installed": counts,
            **{each: models[each] for each in OVERVIEW_KINDS if models.get(each)},
        }
    found = {each_kind: _with_words(names, words) for each_kind, names in models.items()}
    found = {each_kind: names for each_kind, names in found.items() if names}
    if found:
        return found | await _about_loras(server, found, words)
    every = [name for names in models.values() for name in names]
    return {"found": 0, "closest": close_names(" ".join(words), every, 5), "installed": counts}


async def _about_loras(
    server: ComfyUIServer, answer: Mapping[str, Any], words: Sequence[str]
) -> dict[str, Any]:
    """What the LoRAs of an answer say of themselves, where they were searched for or are few."""
    names = answer.get(LORAS) or []
    if not words and len(names) > MOST_LORAS_ASKED:
        return {}
    told = await told_loras(server, names)
    return {SAID_BY_FILES: told} if told else {}


def _words_of(search: str) -> list[str]:
    """The words of a search that say something of a model."""
    return [word for word in search_words(search) if word not in KIND_WORDS]


def _models_of_one_kind(kind: str, names: Sequence[str], words: Sequence[str]) -> dict[str, Any]:
    """The answer that names the models of one kind; if none holds all words of the search, those
    with names like it.
    """
    found = _with_words(names, words)
    if names and not found:
        closest = close_names(" ".join(words), names, 5)
        return {"kind": kind, "found": 0, "closest": closest, "installed": len(names)}
    return {kind: found}


def _with_words(names: Sequence[str], words: Sequence[str]) -> list[str]:
    """The names that hold all of these words, which are in lower case."""
    return [name for name in names if all(word in name.lower() for word in words)]


async def _model_kinds(server: ComfyUIServer) -> list[str]:
    """All kinds that can be asked for: ComfyUI's usual ones, then the other folders of this
    server.
    """
    folders = await server.names("/models") or USUAL_KINDS
    kinds = dict.fromkeys([*USUAL_KINDS, "embeddings", *SAMPLING_KINDS, *folders[:MOST_FOLDERS]])
    return [kind for kind in kinds if kind not in ("configs", "custom_nodes")]


def _read_kind(kind: str, kinds: Sequence[str]) -> str:
    """The one of `kinds` that somebody means by "LoRA" or "text-encoder"; "" for all. Raises
    `BadArgument`.
    """
    if asks_for_everything(kind) or _plain_kind(kind) in ALL_KINDS:
        return ""
    known = {_plain_kind(name): name for name in [*MODEL_KINDS, *kinds]}
    name = known.get(_plain_kind(kind), kind.strip())
    name = MODEL_KINDS.get(name, name)
    if name and name not in kinds:
        message = f'There is no kind of model "{shortened(kind)}".'
        raise BadArgument(message, f"There are: {quoted(shortened(kind, 60) for kind in kinds)}.")
    return name


def _plain_kind(kind: str) -> str:
    """A kind for comparing, without case, spaces, dashes and underscores."""
    return simplified(kind.replace("-", "_"))


async def _models_of(server: ComfyUIServer, kind: str) -> list[str]:
    """All names of a kind; none where the server does not have the kind."""
    if kind in SAMPLING_KINDS:
        sampler = await server.define("KSampler")
        name = SAMPLING_KINDS[kind]
        if sampler is None or name not in sampler.inputs:
            return []
        return [str(choice) for choice in sampler.inputs[name].choices]
    if kind == "embeddings":
        return await server.names("/embeddings") or []
    folder = quote(kind, safe="")
    return await server.names(f"/models/{folder}") or []


async def installed_files(server: ComfyUIServer) -> list[str] | None:
    """The names of all model files of this server, without embeddings; None where it does not list
    them.
    """
    if await server.names("/models") is None:
        return None
    kinds = [
        kind
        for kind in await _model_kinds(server)
        if kind not in SAMPLING_KINDS and kind != "embeddings"
    ]
    lists = await gather(8, [functools.partial(_models_of, server, kind) for kind in kinds])
    return [name for names in lists for name in names]


def told_models(answer: Mapping[str, Any], search: str) -> dict[str, Any]:
    """What a model is told of the models of all servers, in about `MOST_MODEL_CHARACTERS`: the
    first names of each kind, and how many more there are. Never nothing: what was not found is
    said.
    """
    names = {
        kind: value
        for kind, value in answer.items()
        if isinstance(value, list) and kind != "closest"
    }
    told = {key: value for key, value in answer.items() if key not in names}
    if not any(names.values()):
        told["note"] = _nothing_found(list(names), search, told)
    cut: dict[str, Any] = {}
    for most in NAMES_OF_KIND:
        cut = _first_models(names, most)
        if len(json.dumps({**told, **cut}, ensure_ascii=False)) <= MOST_MODEL_CHARACTERS:
            break
    return {**told, **cut}


def _nothing_found(kinds: Sequence[str], search: str, told: Mapping[str, Any]) -> str:
    """What is said where no name is listed."""
    if told.get("found") == 0:
        return f'No installed name holds "{shortened(search)}".'
    if kinds:
        return f"None of the kind {quoted(kinds)} is installed."
    return "No models are installed."


def _first_models(models: Mapping[str, list[str]], most: int) -> dict[str, Any]:
    """The answer that names models by their kinds, so many of each; "more" tells how many were cut
    off.
    """
    answer: dict[str, Any] = {}
    cut: dict[str, int] = {}
    for kind, names in models.items():
        answer[kind] = names[:most]
        more = len(names) - most
        if more > 0:
            cut[kind] = more
    if cut:
        answer["more"] = cut
    return answer
