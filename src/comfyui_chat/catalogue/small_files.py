"""Models made small, as GGUF or for Nunchaku, and the nodes that load them.

People with small graphics cards have only such files: "flux1-dev-Q4_K_S.gguf",
"svdq-int4_r32-flux.1-dev.safetensors". ComfyUI's own loaders cannot read them, the nodes of two
packages can. Where a bundled workflow has no file of its own, the node that loads it is exchanged
for one of these (`SMALL_LOADERS`), if it is installed and has a file that will do:

    {"class_type": "UNETLoader", "inputs": {"unet_name": "flux1-dev.safetensors", "weight_dtype": "default"}}
    {"class_type": "UnetLoaderGGUF", "inputs": {"unet_name": "flux1-dev-Q4_K_S.gguf"}}

The classes and inputs are those of ComfyUI-GGUF 1.1 and ComfyUI-nunchaku 1.2, which both list in
their definitions the files that there are. Values that the plain loader does not have are the new
one's defaults.
"""

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ServerError
from ..graph.definitions import NodeDefinition
from ..graph.nodes import node_inputs
from ..graph.workflow import default_value
from ..names import base_name
from ..server.client import ComfyUIServer
from ..tasks import gather
from .entries import Entry, ModelNeed

ABSENCE_SECONDS = 60.0  # that a package is believed not to be installed: it comes with a restart
GGUF_FILE = re.compile(r"\.gguf$", re.IGNORECASE)
# A text encoder that sees pictures has the part for that in a file beside it, in whose name its own
# stands.
SEES_PICTURES = re.compile(r"[-_. ]vl[-_. ]", re.IGNORECASE)
QUANTIZATION = re.compile(r"[-_.]((u?d[-_])?i?q\d\w*|bf16|f16|f32)$", re.IGNORECASE)
# Text encoders that GGUF's loader cannot load beside one of its own.
SCALED = re.compile(r"scaled", re.IGNORECASE)
# Nunchaku's files for cards of NVIDIA's Blackwell generation, and those cards; all others take the
# files for int4.
FP4_FILE = re.compile(r"fp4", re.IGNORECASE)
BLACKWELL = re.compile(r"blackwell|RTX 50\d\d|\bG?B[123]00\b", re.IGNORECASE)


@dataclass(frozen=True)
class SmallLoader:
    """A node that loads files which a plain loader cannot read."""

    class_type: str
    instead_of: str  # the class of the plain loader
    inputs: Mapping[str, str]  # the plain loader's inputs -> what this one calls them
    files: re.Pattern[str]  # finds the files that it is for

    def node(self, plain: Mapping[str, Any], definition: NodeDefinition) -> dict[str, Any]:
        """The node that takes the place of a plain one, which keeps its title and what both
        know.
        """
        held = {self.inputs.get(name, name): value for name, value in node_inputs(plain).items()}
        inputs: dict[str, Any] = {}
        for name, spec in definition.inputs.items():
            known = name in held and (
                not spec.choices or held[name] in spec.choices or name in self.inputs.values()
            )
            if known:
                inputs[name] = held[name]
            elif spec.required:
                inputs[name] = default_value(spec)
        return {**plain, "class_type": self.class_type, "inputs": inputs}


UNET, ONE_CLIP = {"unet_name": "unet_name"}, {"clip_name": "clip_name"}
TWO_CLIPS = {"clip_name1": "clip_name1", "clip_name2": "clip_name2"}
THREE_CLIPS = {**TWO_CLIPS, "clip_name3": "clip_name3"}
SMALL_LOADERS = (
    SmallLoader("UnetLoaderGGUF", "UNETLoader", UNET, GGUF_FILE),
    SmallLoader(
        "NunchakuFluxDiTLoader",
        "UNETLoader",
        {"unet_name": "model_path"},
        re.compile(r"svdq.*flux(?![-_. ]?2)", re.IGNORECASE),
    ),
    SmallLoader(
        "NunchakuQwenImageDiTLoader",
        "UNETLoader",
        {"unet_name": "model_name"},
        re.compile(r"svdq.*qwen", re.IGNORECASE),
    ),
    SmallLoader(
        "NunchakuZImageDiTLoader",
        "UNETLoader",
        {"unet_name": "model_name"},
        re.compile(r"svdq.*z[-_. ]?image", re.IGNORECASE),
    ),
    SmallLoader("CLIPLoaderGGUF", "CLIPLoader", ONE_CLIP, GGUF_FILE),
    SmallLoader("DualCLIPLoaderGGUF", "DualCLIPLoader", TWO_CLIPS, GGUF_FILE),
    SmallLoader("TripleCLIPLoaderGGUF", "TripleCLIPLoader", THREE_CLIPS, GGUF_FILE),
    SmallLoader(
        "NunchakuTextEncoderLoaderV2",
        "DualCLIPLoader",
        {"clip_name1": "text_encoder1", "clip_name2": "text_encoder2"},
        re.compile(r"awq.*flux", re.IGNORECASE),
    ),
)


async def small_loaders(
    server: ComfyUIServer, plain: str
) -> list[tuple[SmallLoader, NodeDefinition]]:
    """The nodes that this server has to take the place of a plain loader, with their
    definitions.
    """
    loaders = [loader for loader in SMALL_LOADERS if loader.instead_of == plain]
    ask = functools.partial(server.define, doubt=ABSENCE_SECONDS)
    definitions = await gather(4, [functools.partial(ask, loader.class_type) for loader in loaders])
    return [(loader, known) for loader, known in zip(loaders, definitions, strict=True) if known]


async def small_files(server: ComfyUIServer, entry: Entry) -> list[str]:
    """The files made small that will do as the main model of a bundled workflow."""
    need = entry.needs[0]
    plain = entry.workflow.graph[need.target.node_id]["class_type"]
    files: list[str] = []
    for loader, definition in await small_loaders(server, plain):
        files += small_ones(
            loader, need, names_of_input(definition, loader.inputs.get(need.target.input, ""))
        )
    return list(dict.fromkeys(files))


def names_of_input(definition: NodeDefinition | None, name: str) -> tuple[str, ...]:
    """The files that an input of a loader lists."""
    if definition is None or name not in definition.inputs:
        return ()
    return definition.inputs[name].names


def small_ones(loader: SmallLoader, need: ModelNeed, names: Sequence[str]) -> list[str]:
    """Those of the files that a loader lists which it is for and which will do, best first. Blocks,
    where there are many.
    """
    fitting = need.rank(names, small=True)
    return [name for name in fitting if loader.files.search(name)]


def with_sight(names: Sequence[str], listed: Sequence[str]) -> list[str]:
    """Those text encoders which do not see pictures, or whose part for that is `listed` in the same
    folder: without it GGUF's loader goes on, and the pictures are not looked at.
    """
    parts = [name.lower() for name in listed if "mmproj" in name.lower()]
    kept: list[str] = []
    for name in names:
        if not GGUF_FILE.search(name) or not SEES_PICTURES.search(base_name(name)):
            kept.append(name)
            continue
        file = base_name(name).lower()
        folder = name.lower().removesuffix(file)
        stem = QUANTIZATION.sub("", GGUF_FILE.sub("", file))
        if any(part.startswith(folder) and stem in base_name(part) for part in parts):
            kept.append(name)
    return kept


async def for_this_card(server: ComfyUIServer, names: Sequence[str]) -> list[str]:
    """Nunchaku's files with those first that are for the server's graphics card, where there are
    some for either.
    """
    kinds = {bool(FP4_FILE.search(name)) for name in names}
    if len(kinds) < 2:
        return list(names)
    try:
        stats = await server.stats()
    except ServerError:
        return list(names)
    is_blackwell = any(BLACKWELL.search(device.name) for device in stats.devices)
    return sorted(names, key=lambda name: bool(FP4_FILE.search(name)) != is_blackwell)
