"""The command that tries the templates of a server tells what passes, what does not fit the release, and what fails."""

from pathlib import Path
from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.gallery import NODES, group, template, with_gallery
from tests.support.runs import small_graph
from tests.support.stand_in import StandIn
from tests.support.templates import Verdict, make_files, table, tried

MODELS = {"checkpoints": ["tiny.safetensors"]}


async def test_each_template_is_judged_as_comfyui_judges_it() -> None:
    async with StandIn(step_seconds=0.0, models=MODELS) as comfy:
        graph = small_graph(comfy, ckpt_name="tiny.safetensors")
        comfy.template_files = {
            "good": graph,
            "absent": small_graph(comfy, ckpt_name="gone.safetensors"),
            "strange": graph | {"20": {"class_type": "Strange", "inputs": {"image": ["8", 0]}}},
        }
        comfy.gallery = [group("Image", *[template(name, name, [], []) for name in comfy.template_files])]
        async with tool.open_server(tool.Endpoint(comfy.url)) as server:
            verdicts = [await tried(server, each) for each in await server.templates.all()]
        await tool.close_servers()
    assert {verdict.name: verdict.kind for verdict in verdicts} == {
        "good": "passes",
        "absent": "refused as saved, too",
        "strange": "cannot be judged",
    }
    lines = table("0.33.0", verdicts, set(), 3.0).splitlines()
    assert "As the front end are 2 of 2 (100.0 %)." in lines[2]
    assert len([line for line in lines if line.startswith("| `")]) == 2


async def test_what_comfyui_would_take_as_it_was_saved_is_our_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_arguments: Any) -> tool.Graph:
        raise tool.BadArgument("Not understood.", "Say it otherwise.")

    monkeypatch.setattr("tests.support.templates.bound", refuse)
    async with StandIn(step_seconds=0.0, models=MODELS) as comfy:
        comfy.template_files = {"good": small_graph(comfy, ckpt_name="tiny.safetensors")}
        comfy.gallery = [group("Image", template("good", "Good", [], []))]
        async with tool.open_server(tool.Endpoint(comfy.url)) as server:
            verdicts = [await tried(server, each) for each in await server.templates.all()]
        await tool.close_servers()
    assert verdicts == [Verdict("good", "our fault", "Not understood. Say it otherwise.")]


async def test_the_files_that_templates_name_are_made_empty(tmp_path: Path) -> None:
    async with StandIn(step_seconds=0.0, models=MODELS, custom_nodes=NODES) as comfy:
        with_gallery(comfy)
        node = {"type": "Note", "properties": {"models": [{"name": "a.safetensors", "directory": "vae"}]}}
        comfy.template_files["tiny_sketch"] = {"version": 0.4, "nodes": [node | {"id": 1}], "links": []}
        async with tool.open_server(tool.Endpoint(comfy.url)) as server:
            await make_files(server, await server.templates.all(), tmp_path)
        await tool.close_servers()
    made = {path.relative_to(tmp_path).as_posix(): path.stat().st_size for path in tmp_path.rglob("*.*")}
    assert made.keys() >= {"models/vae/a.safetensors", "models/checkpoints/tiny9.safetensors", "input/example.png"}
    assert set(made.values()) == {0}


def test_what_passes_is_only_counted() -> None:
    said = table("0.33.0", [Verdict("good", "passes")], {"good"}, 1.0)
    assert "`good`" not in said
    assert "1 templates, 1 of them paid" in said
