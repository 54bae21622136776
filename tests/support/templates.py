"""Tries every official template of a real ComfyUI: `python -m tests.support.templates URL [FOLDER]`.

Each is found by its name, converted, given a prompt, files and seconds as far as it has them, and posted to `/prompt`;
what was posted is taken back at once, since only ComfyUI's judgement of the graph counts. FOLDER is that of the ComfyUI
itself, best a copy: the model files and input files that templates name are made there, with nothing in them. A table
of what fails, and why, is printed as Markdown.

What ComfyUI refuses is posted once more as it was saved. Where that is refused for the same reason, the template does
not fit this release, and the front end would be refused as well.
"""

import asyncio
import contextlib
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import comfyui_tool as tool
from tests.support import MEDIA
from tests.support.pictures import png
from tests.support.runs import settings
from tests.support.watching import Watcher

PASSES, UNFIT, OURS, NOT_JUDGED = "passes", "refused as saved, too", "our fault", "cannot be judged"
SECONDS = 2


@dataclass(frozen=True)
class Verdict:
    """What became of one template."""

    name: str
    kind: str
    reason: str = ""


def given_files(workflow: tool.Workflow) -> list[tool.InputFile]:
    """A file for each input that takes one, as far as there are some of its kind."""
    contents = {"image": png(), "video": MEDIA / "clip.mp4", "audio": MEDIA / "sound.wav"}
    files: list[tool.InputFile] = []
    for wanted in tool.file_inputs(workflow.flow):
        content = contents.get(wanted.kind)
        if wanted.needed and content is not None and len(files) < tool.MAX_INPUT_FILES:
            data = content if isinstance(content, bytes) else content.read_bytes()
            files.append(tool.read_input(data, "a.png" if isinstance(content, bytes) else content.name))
    return files


def given_values(workflow: tool.Workflow) -> dict[str, Any]:
    """A prompt, a seed and seconds, as far as the template has them."""
    values: dict[str, Any] = {}
    if "prompt" in workflow.parameters:
        values["prompt"] = "a lighthouse at dusk"
    if "seed" in workflow.parameters:
        values["seed"] = 7
    if {"length", "seconds"} & workflow.parameters.keys():
        values["seconds"] = SECONDS
    return values


async def posted(server: tool.ComfyUIServer, graph: tool.Graph) -> str:
    """Post a graph and take it back: why it was refused, wholly or in part; "" for nothing."""
    prompt_id = str(uuid.uuid4())
    try:
        accepted = await server.submit(prompt_id, graph, {})
    except tool.WorkflowRefused as refused:
        return refused.message
    await server.call("POST", "/queue", body={"delete": [prompt_id]})
    await server.call("POST", "/interrupt", body={"prompt_id": prompt_id})
    return " ".join(accepted.notes)


async def tried(server: tool.ComfyUIServer, template: tool.Template) -> Verdict:
    """What becomes of a template."""
    entry = tool.template_entry(template)
    try:
        saved = await tool.read_entry(server, entry)
    except tool.NodeNotInstalled as refused:
        return Verdict(template.name, NOT_JUDGED, refused.message)
    except tool.ComfyUIError as refused:
        return Verdict(template.name, OURS, refused.message)
    missing = tool.missing_nodes(saved.graph, saved.definitions)
    if missing:
        return Verdict(
            template.name, NOT_JUDGED, f"It needs nodes that this ComfyUI does not have: {', '.join(missing)}."
        )
    request = settings().order(template.name, given_values(saved), given_files(saved))
    try:
        reason = await posted(server, await bound(server, request))
    except tool.ComfyUIError as refused:
        reason = f"{refused.message} {refused.hint}".strip()
    if not reason:
        return Verdict(template.name, PASSES)
    as_saved = await posted(server, saved.graph)
    return Verdict(template.name, UNFIT if as_saved else OURS, as_saved or reason)


class Trial(tool.RunProgress):
    """A call that nobody pays for: what it binds is taken back before it runs."""

    async def settle_cost(self, *_about: Any) -> str:
        """Without a key."""
        return ""


async def bound(server: tool.ComfyUIServer, request: tool.Request) -> tool.Graph:
    """The first graph that is posted for a request, with its files sent."""
    fleet = tool.Fleet((server.endpoint,), tool.Limits(), tool.Owner(), tool.Timing())
    options = tool.RunOptions(tool.Catalogue(), False, tool.Format(), tool.Memory())
    assigned = await Trial(request, fleet, Watcher(), options).bind(server, request, lambda: None)
    return assigned.prompts.workflows[0].graph


async def make_files(server: tool.ComfyUIServer, templates: Sequence[tool.Template], folder: Path) -> None:
    """Make the model files and input files that templates name, with nothing in them."""
    for template in templates:
        raw = await server.templates.read(template)
        for place in named_models(raw):
            make_empty(folder / "models", place)
        with contextlib.suppress(tool.ComfyUIError):
            saved = await tool.read_entry(server, tool.template_entry(template))
            for file in tool.model_files(saved.graph, saved.definitions):
                if file.folder and file.installed is False:
                    make_empty(folder / "models", f"{file.folder}/{file.file}")
            for wanted in tool.file_inputs(saved.flow):
                make_empty(folder / "input", wanted.held)


def named_models(raw: Any) -> Iterable[str]:
    """The model files that the nodes of a template in the UI format say they load, with their folders."""
    graphs = [raw, *((raw.get("definitions") or {}).get("subgraphs") or [])]
    for node in (node for graph in graphs for node in graph.get("nodes") or []):
        if isinstance(node, dict):
            for model in (node.get("properties") or {}).get("models") or []:
                yield f"{model['directory']}/{model['name']}"


def make_empty(folder: Path, name: str) -> None:
    """Make an empty file of that name below a folder, if it is a name."""
    path = PurePosixPath(name.split(" [")[0].replace("\\", "/"))
    if path.name and not path.is_absolute() and ".." not in path.parts and len(path.name) < 200:
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            place.touch()


def table(version: str, verdicts: Sequence[Verdict], paid: set[str], seconds: float) -> str:
    """The verdicts as Markdown."""
    counts = Counter(verdict.kind for verdict in verdicts)
    judged = len(verdicts) - counts[NOT_JUDGED]
    right = judged - counts[OURS]
    lines = [
        f"## ComfyUI {version}",
        "",
        f"{len(verdicts)} templates, {len(paid)} of them paid, tried in {seconds:.0f} s: {counts[PASSES]} pass, "
        f"{counts[UNFIT]} are refused as they were saved, too, "
        f"{counts[OURS]} fail through our fault, {counts[NOT_JUDGED]} cannot be judged, for want of nodes. "
        f"As the front end are {right} of {judged} ({100 * right / max(judged, 1):.1f} %).",
        "",
        "| template | | why |",
        "|---|---|---|",
    ]
    for verdict in sorted(verdicts, key=lambda verdict: (verdict.kind, verdict.name)):
        if verdict.kind != PASSES:
            reason = tool.shortened(verdict.reason.replace("|", "/"), 220)
            lines.append(f"| `{verdict.name}` | {verdict.kind} | {reason} |")
    return "\n".join(lines)


async def main(url: str, folder: Path | None) -> None:
    async with tool.open_server(tool.Endpoint.parse(url)) as server:
        templates = [template for template in await server.templates.all() if "/" not in template.name]
        if folder:
            await make_files(server, templates, folder)
            server.forget_lists()
            server._known.doubt_all()
        began = time.monotonic()
        verdicts = [await tried(server, template) for template in templates]
        stats = await server.stats()
        paid = {template.name for template in templates if template.is_paid}
        print(table(stats.version, verdicts, paid, time.monotonic() - began))
    await tool.close_servers()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else None))
