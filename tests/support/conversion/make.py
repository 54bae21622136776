"""Writes the digests and the reduced definitions: `python -m tests.support.conversion.make FOLDER`.

FOLDER holds `conversion/` (templates and the front end's results, `a_*` of 0.3.64 and `c_*` of 0.33.0) and for each
release a folder with the server's `object_info.json`.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.conversion import FOLDER, digest

SETS = {"0.3.64": ("a_", "recordings"), "0.33.0": ("c_", "recordings-0.33")}
PROSE = ("tooltip", "display_name", "placeholder", "description", "extra_dict", "lazy")


def reduced(value: Any) -> Any:
    """A definition without prose, and of a list of choices only the first: no more is needed here."""
    if isinstance(value, Mapping):
        return {key: reduced(item) for key, item in value.items() if key not in PROSE}
    if isinstance(value, list) and len(value) > 1 and all(isinstance(item, (str, int, float)) for item in value):
        return value[:1]
    return [reduced(item) for item in value] if isinstance(value, list) else value


def main() -> None:
    source = Path(sys.argv[1])
    results: dict[str, dict[str, str]] = {}
    for release, (prefix, folder) in SETS.items():
        known = json.loads((source / folder / "object_info.json").read_text())
        used: set[str] = set()
        results[release] = {}
        for path in sorted((source / "conversion").glob(f"{prefix}*.api.json")):
            graph = json.loads(path.read_text())
            used |= {node["class_type"] for node in graph.values()}
            results[release][path.name.removeprefix(prefix).removesuffix(".api.json")] = digest(graph, known)
        small = {
            name: {key: reduced(known[name][key]) for key in ("input", "input_order") if key in known[name]}
            | {key: known[name].get(key) for key in ("display_name", "output", "output_node")}
            for name in sorted(used)
        }
        for entry in small.values():
            entry["input"].pop("hidden", None)
            entry["input_order"] = {part: list(names) for part, names in entry.get("input", {}).items()}
        text = ",\n".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in small.items())
        (FOLDER / f"definitions-{release}.json").write_text("{\n" + text + "\n}\n")
    (FOLDER / "digests.json").write_text(json.dumps(results, indent=0) + "\n")


if __name__ == "__main__":
    main()
