"""Tells how strangers' workflows are read: `python -m tests.support.conversion.measure FOLDER`.

FOLDER holds `conversion/` (workflows in the UI format as `KEY.ui.json`, what the front end sends of each as
`KEY.api.json`, and the server's `object_info.json`), and beside it reduced graphs, what is right of each in
`expected.json`, and the definitions of their classes in `definitions.json`. What differs is named line by line.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import comfyui_tool as tool
from tests.support.conversion import as_javascript, digest, known_inputs, parsed
from tests.support.graphs import at


def loaded(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def differing(ours: dict[str, Any], right: dict[str, Any], known: dict[str, Any]) -> Iterator[str]:
    """What is not the same in two prompts with the same ids."""
    for node_id in sorted(ours.keys() | right.keys()):
        if node_id not in ours or node_id not in right:
            side = "only ours" if node_id in ours else "only the front end's"
            node = ours.get(node_id) or right[node_id]
            yield f"{node_id} {node['class_type']}: {side}"
            continue
        names = known_inputs(known.get(ours[node_id]["class_type"], {}))
        one, other = ours[node_id]["inputs"], right[node_id]["inputs"]
        for name in sorted(one.keys() | other.keys()):
            is_known = name in names or name.split(".")[0] in names
            if is_known and as_javascript(one.get(name, "-")) != as_javascript(other.get(name, "-")):
                held = f"{one.get(name, '-')!r:.60} is not {other.get(name, '-')!r:.60}"
                yield f"{node_id} {ours[node_id]['class_type']}.{name}: {held}"


def conversions(folder: Path) -> None:
    """Compare the conversion of each workflow with the front end's."""
    raw = loaded(folder / "object_info.json")
    definitions = parsed(raw)
    same = 0
    paths = sorted(folder.glob("*.ui.json"))
    for path in paths:
        right = loaded(path.with_name(path.name.replace(".ui.", ".api.")))
        try:
            ours = tool.convert(loaded(path), definitions)
        except tool.WorkflowRefused as refused:
            print(f"{path.name}: refused: {refused.message}")
            continue
        if digest(ours, raw) == digest(right, raw):
            same += 1
            continue
        print(f"{path.name}:")
        for line in list(differing(ours, right, raw))[:12]:
            print(f"    {line}")
    print(f"{same} of {len(paths)} conversions are as the front end's ({100 * same / len(paths):.1f} %)")


def wanted(places: str) -> set[str]:
    """The places in what `expected.json` says of a parameter; remarks stand in brackets."""
    plain = re.sub(r"\(.*\)", "", places)
    return {place for place in re.split(r"[\s/]+", plain) if place.strip("-")}


def parameters(folder: Path) -> None:
    """Compare the parameters of each reduced graph with what is right."""
    definitions = parsed(loaded(folder / "definitions.json"))
    verdicts: Counter[str] = Counter()
    for name, right in loaded(folder / "expected.json").items():
        workflow = tool.Workflow.parse(name, loaded(folder / f"{name}.json"), definitions)
        print(f"{name}: {tool.guess_task(workflow.flow)}, {tool.outputs(workflow.flow)}")
        for key, places in right.items():
            if key not in tool.PARAMETERS:  # a remark on something else
                print(f"    {key}: {places}")
                continue
            found = {at(target).split("*")[0] for target in workflow.parameters.get(key, ())}
            nodes = {place.split(".")[0] for place in wanted(places)}
            asked = {place if "." in place else f"{min(nodes)}.{place}" for place in wanted(places)}
            verdict = "right" if found >= asked else "wrong" if found else "missing"
            verdicts[verdict] += 1
            if verdict != "right":
                print(f"    {verdict}: {key} {found or '-'}, expected {places}")
        missing, files = tool.missing_nodes(workflow.graph, definitions), tool.file_inputs(workflow.flow)
        print(f"    missing nodes: {missing}; files: {[(at(file.target), file.kind, file.masked) for file in files]}")
        try:
            tool.check_limits(workflow, tool.Limits(), set(), {kind for _, kind in tool.outputs(workflow.flow)})
        except tool.LimitExceeded as exceeded:
            print(f"    limit: {exceeded.message}")
    print(dict(verdicts))


if __name__ == "__main__":
    place = Path(sys.argv[1])
    conversions(place / "conversion")
    parameters(place)
