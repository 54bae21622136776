"""What the front end made of ComfyUI's official templates, as digests, and the node definitions that this needs.

`digests.json` holds for each template the digest of the prompt that the real front end sent; `make.py` wrote it. The
templates themselves come from packages of the development dependencies.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import comfyui_tool as tool

FOLDER = Path(__file__).parent
# release -> the package that holds its templates
PACKAGES = {"0.3.64": "comfyui_workflow_templates", "0.33.0": "comfyui_workflow_templates_json"}
RELEASES = tuple(PACKAGES)


def definitions(release: str) -> dict[str, Any]:
    """Node definitions of a release as `/object_info` lists them, reduced to what the tests need."""
    return dict(json.loads((FOLDER / f"definitions-{release}.json").read_text()))


def parsed(raw: Mapping[str, Any]) -> dict[str, tool.NodeDefinition]:
    """Node definitions as the tool reads them."""
    return {name: tool.NodeDefinition.parse(name, about) for name, about in raw.items()}


@cache
def classes(release: str) -> dict[str, tool.NodeDefinition]:
    """The node definitions of a release as the tool reads them."""
    return parsed(definitions(release))


def digests(release: str) -> dict[str, str]:
    """The right results, by the template's name."""
    return dict(json.loads((FOLDER / "digests.json").read_text())[release])


def every_template() -> list[tuple[str, str]]:
    """Release and name of every template."""
    return [(release, name) for release in RELEASES for name in digests(release)]


def template(release: str, name: str) -> Any:
    """A template in the UI format."""
    spec = find_spec(PACKAGES[release])
    assert spec and spec.origin
    return json.loads((Path(spec.origin).parent / "templates" / f"{name}.json").read_text(encoding="utf-8"))


def converted(release: str, name: str) -> dict[str, Any]:
    """A template as the tool converts it; the tool's refusal is raised."""
    return tool.convert(template(release, name), classes(release))


def known_inputs(raw: Mapping[str, Any]) -> set[str]:
    """The names of a node's inputs; a dotted name counts as known when its first part is among them."""
    sections = raw.get("input") or {}
    return {name for section in ("required", "optional") for name in sections.get(section) or {}}


def as_javascript(value: Any) -> Any:
    """A value as JavaScript keeps it: 1.0 is 1, and a whole number above 2**53 is only about right."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53:
        return int(float(value))
    if isinstance(value, Mapping):
        return {key: as_javascript(item) for key, item in value.items()}
    return [as_javascript(item) for item in value] if isinstance(value, list) else value


def hashed(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def digest(graph: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    """One digest for a prompt, equal when two are the same up to the ids of their nodes.

    Every node is named by what it is, what feeds it and what it feeds, refined until no two nodes can be told apart
    any further. Inputs that the server's definitions do not know are left out, for the server ignores them too.
    """
    labels: dict[str, str] = {}
    lines: dict[str, list[tuple[str, str, str, int]]] = {node_id: [] for node_id in graph}
    for node_id, node in graph.items():
        names = known_inputs(known.get(node["class_type"], {}))
        values = {}
        for name, value in node["inputs"].items():
            if name not in names and name.split(".")[0] not in names:
                continue
            if isinstance(value, list) and len(value) == 2 and str(value[0]) in graph:
                lines[node_id].append(("from", name, str(value[0]), value[1]))
                lines[str(value[0])].append(("to", name, node_id, value[1]))
            else:
                values[name] = as_javascript(value)
        labels[node_id] = hashed([node["class_type"], values])
    told_apart = 0
    while len(set(labels.values())) > told_apart:
        told_apart = len(set(labels.values()))
        labels = {
            node_id: hashed(
                [label, sorted([way, name, labels[other], slot] for way, name, other, slot in lines[node_id])]
            )
            for node_id, label in labels.items()
        }
    return hashed(sorted(labels.values()))
