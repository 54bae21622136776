"""Small API graphs for tests, official templates as API graphs, and full node definitions for both."""

import json
from functools import cache
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import comfyui_tool as tool
from tests.support import ROOT
from tests.support.conversion import definitions, digests, parsed, template

STAND_IN = json.loads((ROOT / "tests" / "support" / "stand_in" / "definitions.json").read_text())
RELEASES = ("0.3.64", "0.33.0")
BUNDLED = ("checkpoint", "flux", "z-image-turbo")


def defined(release: str = "0.33.0", **more: dict[str, Any]) -> dict[str, tool.NodeDefinition]:
    """Full definitions of common classes, and more of them as `/object_info` lists them."""
    return parsed(STAND_IN[release] | more)


@cache
def templates(release: str) -> dict[str, dict[str, Any]]:
    """The official templates of a release that need nothing but common classes."""
    known, found = parsed(definitions(release)), {}
    for name in digests(release):
        try:
            graph = tool.convert(template(release, name), known)
        except tool.WorkflowRefused:
            continue
        if {node["class_type"] for node in graph.values()} <= STAND_IN[release].keys():
            found[name] = graph
    return found


def bundled(name: str) -> dict[str, Any]:
    return dict(json.loads((ROOT / "workflows" / f"{name}.json").read_text()))


def graph(**nodes: tuple[Any, ...]) -> dict[str, Any]:
    """A graph of nodes `a=("Class", {inputs}, "title")`, where "b.0" is the first output of node b."""

    def value(held: Any) -> Any:
        node_id, dot, slot = held.partition(".") if isinstance(held, str) else ("", "", "")
        return [node_id, int(slot)] if dot and node_id in nodes and slot.isdigit() else held

    return {
        node_id: {
            "class_type": kind,
            "inputs": {name: value(held) for name, held in (rest[0] if rest else {}).items()},
            "_meta": {"title": rest[1] if len(rest) > 1 else kind},
        }
        for node_id, (kind, *rest) in nodes.items()
    }


def sampled(*, model: str, text: str = "clip.0", **more: tuple[Any, ...]) -> dict[str, Any]:
    """A graph that samples with a model and writes a prompt with a text encoder; both are among `more`."""
    return graph(
        **more,
        positive=("CLIPTextEncode", {"clip": text, "text": "a fox"}),
        negative=("CLIPTextEncode", {"clip": text, "text": ""}),
        latent=("EmptyLatentImage", {"width": 512, "height": 512, "batch_size": 1}),
        sampler=(
            "KSampler",
            {"model": model, "positive": "positive.0", "negative": "negative.0", "latent_image": "latent.0", "seed": 1},
        ),
        decode=("VAEDecode", {"samples": "sampler.0"}),
        save=("SaveImage", {"images": "decode.0", "filename_prefix": "x"}),
    )


NODE_IDS = st.sampled_from([*"123456", "1:2", "", "ü"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["a.ckpt", "%a.b%"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
LINKS = st.tuples(NODE_IDS, st.integers(-1, 3)).map(list)
INPUT_NAMES = st.sampled_from(["model", "clip", "image", "images", "text", "filename_prefix", "lora_name", "on_true"])
CLASSES = st.sampled_from([
    *("KSampler", "LoraLoader", "LoraLoaderModelOnly", "CheckpointLoaderSimple", "UNETLoader", "CLIPLoader", "Switch"),
    *("CLIPTextEncode", "SaveImage", "LoadImage", "ModelSamplingSD3", "VAEDecode", "Nobody's"),
])  # fmt: skip
NODES = st.fixed_dictionaries(
    {"class_type": CLASSES, "inputs": st.dictionaries(INPUT_NAMES | st.text(max_size=3), LINKS | VALUES, max_size=5)},
    optional={"_meta": st.fixed_dictionaries({"title": st.text(max_size=60)}) | VALUES},
)
# Anything that may stand where a graph is expected, mostly nearly right.
GRAPHS = st.dictionaries(NODE_IDS, NODES | VALUES, max_size=8)
ODD = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
SWITCH = {"input": {"required": {"on_true": ["COMFY_MATCHTYPE_V3", {}]}}, "output": ["COMFY_MATCHTYPE_V3"]}
