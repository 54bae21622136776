"""Tells how strangers' workflows are read: `python -m tests.support.conversion.measure FOLDER`.

FOLDER holds `conversion/` (workflows in the UI format as `KEY.ui.json`, what the front end sends of each as
`KEY.api.json`, and the server's `object_info.json`), and beside it reduced graphs, what is right of each in
`expected.json`, and the definitions of their classes in `definitions.json`. What differs is named line by line.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import comfyui_tool as tool
from tests.support.conversion import as_javascript, digest, known_inputs, parsed
from tests.support.graphs import at

PLACE = re.compile(r"\b(\d+\.[\w.]+\w)")


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


def parameters(folder: Path) -> None:
    """Compare the parameters of each reduced graph with what is right."""
    definitions = parsed(loaded(folder / "definitions.json"))
    for name, right in loaded(folder / "expected.json").items():
        graph = loaded(folder / f"{name}.json")
        workflow = tool.Workflow.parse(name, graph, definitions)
        found = {key: " ".join(map(at, targets)) for key, targets in workflow.parameters.items()}
        print(name)
        for key, places in right.items():
            wanted = PLACE.findall(places)
            verdict = "right" if found.get(key, "").split() == wanted else "MISSING" if key not in found else "WRONG?"
            if not wanted:
                verdict = "?"
            print(f"    {verdict}: {key} {found.get(key, '-')}    expected {places}")
        others = {key: places for key, places in found.items() if key not in right}
        print(f"    others: {others}")
        print(f"    {tool.guess_task(workflow.flow)}: {tool.file_inputs(workflow.flow)}")
        touched = {target for targets in workflow.parameters.values() for target in targets}
        makes = {kind for _, kind in tool.outputs(workflow.flow)}
        limits = tool.Limits(count=4, megapixels=4.2, steps=100, video_seconds=10)
        try:
            tool.check_limits(workflow, limits, touched, makes)
        except tool.LimitExceeded as exceeded:
            print(f"    LIMIT: {exceeded.message}")


if __name__ == "__main__":
    place = Path(sys.argv[1])
    conversions(place / "conversion")
    parameters(place)
