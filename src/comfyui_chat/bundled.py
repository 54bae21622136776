"""The workflows that come with the tool, as data.

Each is a file of the folder `workflows/`, a graph in ComfyUI's API format as ComfyUI exports it, and has an entry in
`manifest.json`: its task, the model families that it fits, the files that it needs, their defaults and one line of
description. In the repository both are read from there. The file that ships has nothing beside it, so `build.py` writes
the same data into its last lines, one line a workflow, in place of the code below.
"""

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = (ROOT / "manifest.json").read_text(encoding="utf-8")
# The name of a workflow -> its graph as JSON, in the order of the manifest.
BUNDLED = {
    entry["name"]: (ROOT / "workflows" / f"{entry['name']}.json").read_text(encoding="utf-8")
    for entry in json.loads(MANIFEST)["workflows"]
}
