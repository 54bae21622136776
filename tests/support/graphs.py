"""Small graphs for tests, in the API format and as ComfyUI's editor saves them, and where the tool finds their
parameters; official templates and bundled workflows; and full node definitions for all of them."""

import json
import re
from functools import cache
from typing import Any

import comfyui_tool as tool
from tests.support import ROOT
from tests.support.conversion import converted, digests, parsed
from tests.support.stand_in.release import RELEASES as STAND_INS

BUNDLED = ("checkpoint", "flux", "z-image-turbo")
SWITCH = {"input": {"required": {"on_true": ["COMFY_MATCHTYPE_V3", {}]}}, "output": ["COMFY_MATCHTYPE_V3"]}

# A diffusion model and a text encoder that are loaded apart, for `sampled`.
APART: dict[str, Any] = {
    "loader": ("UNETLoader", {"unet_name": "a.safetensors"}),
    "clip": ("CLIPLoader", {"clip_name": "t5.safetensors"}),
}

# Every line that a drawing of a graph may hold: nothing in it but what is drawn.
DRAWN_LINE = re.compile(
    r"flowchart (?:LR|TD)"
    r'|    (?:n\d+|rest)\["(?:[\w ,()/-]|<br/>|#\d+;|[^\x00-\xa0])+"\]'
    r'|    n\d+ -->(?:\|"(?:[\w ,()/-]|#\d+;|[^\x00-\xa0])+"\|)? n\d+'
    r"|    classDef \w+ [\w:,#]+|    class n\d+(?:,n\d+)* \w+"
)


def defined(release: str = "0.33.0", **more: dict[str, Any]) -> dict[str, tool.NodeDefinition]:
    """Full definitions of common classes, and more of them as `/object_info` lists them."""
    return parsed(STAND_INS[release].definitions | more)


# --- graphs that people have ---


@cache
def templates(release: str) -> dict[str, dict[str, Any]]:
    """The official templates of a release that need nothing but common classes."""
    common, found = STAND_INS[release].definitions.keys(), {}
    for name in digests(release):
        try:
            graph = converted(release, name)
        except tool.WorkflowRefused:
            continue
        if {node["class_type"] for node in graph.values()} <= common:
            found[name] = graph
    return found


def bundled(name: str) -> dict[str, Any]:
    """The graph of a bundled workflow."""
    return dict(json.loads((ROOT / "workflows" / f"{name}.json").read_text()))


# --- graphs in the API format, written as "loader.0" ---


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


# --- graphs in the API format, node by node ---


def node(class_type: str, title: str = "", **inputs: Any) -> dict[str, Any]:
    """A node of a graph; a tuple is a link."""
    held = {
        name.replace("__", "."): list(value) if isinstance(value, tuple) else value for name, value in inputs.items()
    }
    return {"class_type": class_type, "inputs": held} | ({"_meta": {"title": title}} if title else {})


def encoder(text: Any, **inputs: Any) -> dict[str, Any]:
    """A node that encodes a text with the checkpoint of `text_to_image`."""
    return node("CLIPTextEncode", text=text, clip=("model", 1), **inputs)


def sampler(**inputs: Any) -> dict[str, Any]:
    """The sampler of `text_to_image`, with these inputs added or put in their place."""
    usual = {"seed": 7, "steps": 20, "cfg": 8.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    links = {"model": ("model", 0), "positive": ("good", 0), "negative": ("bad", 0), "latent_image": ("latent", 0)}
    return node("KSampler", **(usual | links | inputs))


def text_to_image(**nodes: Any) -> dict[str, Any]:
    """A checkpoint, a sampler and what they need, with these nodes added or put in their place."""
    return {
        "model": node("CheckpointLoaderSimple", ckpt_name="a.safetensors"),
        "good": encoder("a cat"),
        "bad": encoder("ugly"),
        "latent": node("EmptyLatentImage", width=1024, height=768, batch_size=1),
        "sampler": sampler(),
        "decode": node("VAEDecode", samples=("sampler", 0), vae=("model", 2)),
        "save": node("SaveImage", images=("decode", 0), filename_prefix="x"),
    } | nodes


def at(target: tool.Target) -> str:
    """A place in a graph as "node.input", with the share of the value that it takes and the placeholder in it."""
    part = f"*{target.part:g}" if target.part != 1 else ""
    return f"{target.node_id}.{target.input}{part}{target.token and ' ' + target.token}"


def found(graph: dict[str, Any], *names: str, known: Any = None) -> Any:
    """Where a parameter is, or for several names where each is."""
    workflow = tool.Workflow.parse("x", graph, known or {})
    where = {name: [at(target) for target in workflow.parameters.get(name, ())] for name in names}
    return where[names[0]] if len(names) == 1 else where


# --- workflows as ComfyUI's editor saves them ---


def ui_node(node_id: int, kind: str, *inputs: tuple[Any, ...], values: Any = (), mode: int = 0, **more: Any) -> Any:
    """A node; its inputs as (name, type, link) or, with a widget, (name, type, link, True)."""
    sockets = [
        {"name": name, "type": type_, "link": link, **({"widget": {"name": name}} if widget else {})}
        for name, type_, link, *widget in inputs
    ]
    held = values if isinstance(values, dict) else list(values)
    outputs = [{"name": "IMAGE", "type": "IMAGE"}]
    return {
        "id": node_id,
        "type": kind,
        "mode": mode,
        "inputs": sockets,
        "outputs": outputs,
        "widgets_values": held,
        **more,
    }


def ui_workflow(*nodes: Any, links: Any = (), **more: Any) -> Any:
    """A workflow of such nodes."""
    return {"version": 0.4, "nodes": list(nodes), "links": list(links), **more}
