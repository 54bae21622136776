"""Writes the workflows of this folder and manifest.json into the last block of comfyui_tool.py.

python workflows/bundle.py            write the block
python workflows/bundle.py --check    exit 1 if the block is stale, and write nothing
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOL = ROOT / "comfyui_tool.py"
BEGIN = "# --- 13. Bundled workflows: written by workflows/bundle.py, do not edit by hand ---\n"
END = "# --- end of the bundled workflows ---\n"


def block() -> str:
    """The text between the two marker lines: the manifest and one line a workflow, as plain JSON."""
    manifest = json.loads((ROOT / "manifest.json").read_text(encoding="utf-8"))
    names = [entry["name"] for entry in manifest["workflows"]]
    graphs = {name: json.loads((ROOT / "workflows" / f"{name}.json").read_text(encoding="utf-8")) for name in names}
    rows = [f'    "{name}": {literal(graph)},  # noqa: E501\n' for name, graph in graphs.items()]
    return "".join([f"MANIFEST = {literal(manifest)}  # noqa: E501\n", "BUNDLED = {\n", *rows, "}\n"])


def literal(value: object) -> str:
    """One JSON value as a raw string, so that the line can be read, and copied, as JSON."""
    text = json.dumps(value, ensure_ascii=False)
    if '"""' in text:
        raise SystemExit("a workflow holds three quotes in a row and cannot stand in a raw string")
    return f'r"""{text}"""'


def main() -> int:
    source = TOOL.read_text(encoding="utf-8")
    before, rest = source.split(BEGIN)
    _, after = rest.split(END)
    fresh = before + BEGIN + block() + END + after
    if fresh == source:
        return 0
    if "--check" in sys.argv[1:]:
        print("The bundled workflows in comfyui_tool.py are stale: run python workflows/bundle.py")
        return 1
    TOOL.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
