"""Calls, workflows and servers that are not as one would wish: limits hold, nobody sees what is another's, nothing is
lost in silence, and one odd thing does not take the rest with it."""

import asyncio
import json
import time
from datetime import datetime
from typing import Any

import pytest
from aiohttp import web

import comfyui_tool as tool
from tests.support.graphs import defined, graph
from tests.support.pictures import unread
from tests.support.runs import (
    listed,
    listed_models,
    loading,
    order,
    pasted,
    pasted_by_user,
    run_wish,
    save,
    sent,
    settings,
    small_graph,
)
from tests.support.serving import serving
from tests.support.stand_in import StandIn
from tests.support.stand_in.files import File, Place


@pytest.fixture
def comfy(quick_comfy: StandIn) -> StandIn:
    """One release will do: they do not differ in what is tested here."""
    return quick_comfy


# --- limits, whatever way a number takes ---


def numbered(comfy: StandIn, **values: Any) -> dict[str, Any]:
    """A graph whose numbers stand in nodes of their own."""
    nodes = small_graph(comfy)
    for name, (node_id, key, value) in values.items():
        nodes[node_id]["inputs"][key] = [name, 0]
        nodes[name] = {"class_type": "PrimitiveInt", "inputs": {"value": value}, "_meta": {"title": name}}
    return nodes


@pytest.mark.parametrize(
    "inputs",
    [{"width": 4096, "height": 4096}, {"W.value": 4096, "H.value": 4096}, {"S.value": 150}, {"steps": "150"}],
)
async def test_numbers_in_nodes_of_their_own_are_counted(comfy: StandIn, inputs: Any) -> None:
    nodes = numbered(comfy, W=("5", "width", 64), H=("5", "height", 64), S=("3", "steps", 2))
    with pytest.raises(tool.LimitExceeded):
        await run_wish(comfy, order("x", inputs), pasted(x=nodes))
    assert comfy.prompts == []


@pytest.mark.parametrize("held", ["150", {"__value__": 150}, 150.0])
async def test_numbers_are_counted_however_they_are_written(comfy: StandIn, held: Any) -> None:
    nodes = small_graph(comfy)
    nodes["3"]["inputs"]["steps"] = held
    with pytest.raises(tool.LimitExceeded, match="150"):
        await run_wish(comfy, order("x"), pasted_by_user(x=nodes), limits=tool.Limits(guards_own=True))


@pytest.mark.parametrize(
    ("kind", "inputs", "asked"),
    [
        (
            "ImageScale",
            {"upscale_method": "area", "width": 0, "height": 64, "crop": "disabled"},
            {"Extra.height": 4096},
        ),
        ("ImageScaleBy", {"upscale_method": "area", "scale_by": 1.0}, {"Extra.scale_by": 8}),
        ("ImageScaleToTotalPixels", {"upscale_method": "area", "megapixels": 1.0}, {"Extra.megapixels": 16}),
        ("RepeatImageBatch", {"amount": 1}, {"Extra.amount": 10}),
    ],
)
async def test_other_ways_to_more_pixels_and_pictures_are_counted(
    comfy: StandIn, kind: str, inputs: Any, asked: Any
) -> None:
    nodes = {"0": {"class_type": "LoadImage", "inputs": {"image": "example.png"}}}
    nodes["1"] = {"class_type": kind, "inputs": {"image": ["0", 0], **inputs}, "_meta": {"title": "Extra"}}
    nodes["2"] = {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}}
    known = {"LoadImage", "SaveImage", kind}
    workflow = tool.Workflow.parse("x", tool.clean(nodes), {name: d for name, d in defined().items() if name in known})
    targets = {at: value for name, value in asked.items() for at in workflow.find(name) or ()}
    with pytest.raises(tool.LimitExceeded):
        tool.check_limits(workflow.set(targets), tool.Limits(), set(targets), {"image"})
    tool.check_limits(workflow, tool.Limits(), set(), {"image"})


async def test_a_batch_of_frames_or_of_work_is_no_number_of_pictures() -> None:
    frames = graph(
        latent=("EmptyLatentImage", {"width": 64, "height": 64, "batch_size": 16}),
        sampler=("KSampler", {"latent_image": "latent.0", "steps": 2}),
        save=("SaveAnimatedWEBP", {"images": "sampler.0"}),
    )
    work = graph(
        picture=("LoadImage", {"image": "a.png"}),
        larger=("SeedVR2VideoUpscaler", {"image": "picture.0", "batch_size": 5}),
        save=("SaveImage", {"images": "larger.0"}),
    )
    for nodes in (frames, work):
        makes = {kind for _, kind in tool.outputs(tool.Flow.of(nodes, {}))}
        tool.check_limits(tool.Workflow.parse("x", nodes), tool.Limits(), set(), makes)


# --- what is another's ---


@pytest.mark.parametrize("name", ["image", "LoadImage.image", "1.image"])
async def test_a_file_is_given_as_a_file_and_never_by_a_name_on_the_server(comfy: StandIn, name: str) -> None:
    comfy.files.put(Place("input", "", "open-webui-alice.png"), unread().data)
    for value in ("open-webui-alice.png", "alice.png [output]", "nothing"):
        with pytest.raises(tool.ComfyUIError) as refused:
            await run_wish(comfy, order("x", {name: value}), pasted(x=loading("example.png")))
        assert "alice" not in refused.value.hint
    assert comfy.prompts == []


async def test_a_secret_in_a_workflow_is_not_described(comfy: StandIn) -> None:
    nodes = small_graph(comfy) | {"20": {"class_type": "Service", "inputs": {"api_key": "sk-very", "token": ""}}}
    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        about = await tool.describe_workflow(server, tool.Entry("x", "user", nodes))
    assert about["other inputs"]["Service.api_key"].endswith("is set")
    assert "sk-very" not in json.dumps(about)


# --- one odd thing does not take the rest with it ---


@pytest.mark.parametrize("status", [403, 500])
async def test_a_server_that_does_not_list_what_is_saved_still_runs_everything_else(
    comfy: StandIn, status: int
) -> None:
    comfy.misbehave.status_for = {"/userdata": status}
    assert (await run_wish(comfy, settings().request("a fox", workflow="checkpoint", size="64x64", steps=1))).products
    assert (await run_wish(comfy, order("x", {"prompt": "y"}), pasted(x=small_graph(comfy)))).products
    assert "cannot be listed" in (await listed(comfy))["problems"][0]
    with pytest.raises(tool.UnknownWorkflow) as error:
        await run_wish(comfy, order("portrait"))
    assert "cannot be listed" in error.value.hint


async def test_one_odd_saved_file_does_not_take_the_list_with_it(comfy: StandIn) -> None:
    save(comfy, "good.json", small_graph(comfy))
    save(comfy, "forbidden.json", {})
    comfy.userdata["workflows/utf16.json"] = File(json.dumps(small_graph(comfy)).encode("utf-16"))
    comfy.misbehave.status_for = {"/userdata/workflows%2Fforbidden.json": 403}
    listing = (await listed(comfy, everything=True))["workflows"]
    lines = {line if isinstance(line, str) else line["name"]: line for line in listing}
    assert "cannot run" in lines["forbidden"]
    assert "cannot run" not in lines["good"]
    assert "cannot run" not in lines["utf16"]


async def test_names_that_are_no_unicode_are_left_out() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response([{"path": name} for name in ("a.json", "b\udcff.json", ".c.json", "d/.e.json")])

    async with serving("/userdata", answer) as url:
        async with tool.open_server(tool.Endpoint(url)) as server:
            assert await server.saved_workflows() == ["a.json"]
        await tool.close_servers()


async def test_what_no_output_needs_may_lack_its_files(comfy: StandIn) -> None:
    spare = {
        "30": {"class_type": "LoadImage", "inputs": {"image": "gone.png"}},
        "31": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "gone.ckpt"}},
    }
    assert (await run_wish(comfy, order("x", {"prompt": "y"}), pasted(x=small_graph(comfy) | spare))).products


async def test_all_missing_nodes_of_a_workflow_of_the_editor_are_named_at_once(comfy: StandIn) -> None:
    ui = {"nodes": [{"id": n, "type": f"Strange{n}"} for n in (1, 2, 3)], "links": []}
    with pytest.raises(tool.NodeNotInstalled, match='"Strange1", "Strange2", "Strange3"'):
        await run_wish(comfy, order("x"), pasted(x=ui))
    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        about = await tool.describe_workflow(server, tool.Entry("x", "user", ui))
    assert "Strange3" in about["cannot run"]


def test_choices_that_are_no_texts_do_no_harm() -> None:
    raw = {"input": {"required": {"ckpt_name": [[None, 512, "a.safetensors"], {}]}}, "output": ["MODEL"]}
    known = {"Loader": tool.NodeDefinition.parse("Loader", raw)}
    nodes = graph(loader=("Loader", {"ckpt_name": "gone.safetensors"}))
    choice = tool._fit_files(tool.Workflow.parse("x", nodes, known), None)
    assert choice


# --- what was added a moment ago ---


async def test_a_model_that_was_added_a_moment_ago_is_found_by_every_way(
    comfy: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "DOUBT_SECONDS", 0.0)
    catalogue = pasted(x=small_graph(comfy), y=small_graph(comfy, ckpt_name="late.safetensors"))
    await run_wish(comfy, order("x", {"prompt": "a"}), catalogue)
    comfy.models = {**comfy.models, "checkpoints": [*comfy.models["checkpoints"], "late.safetensors"]}
    await comfy.kill()
    await comfy.start()
    for wish in (order("x", {"model": "late"}), settings().request("a fox", workflow="x", model="late"), order("y")):
        assert (await run_wish(comfy, wish, catalogue)).model == "late.safetensors"


async def test_a_workflow_that_was_saved_a_moment_ago_is_found(comfy: StandIn) -> None:
    await listed(comfy)
    save(comfy, "new.json", small_graph(comfy))
    assert (await run_wish(comfy, order("new"))).workflow == "new"


# --- names ---


async def test_sources_are_searched_one_after_the_other(comfy: StandIn) -> None:
    save(comfy, "art/flux2.json", small_graph(comfy))
    catalogue = tool.Catalogue((tool.Entry("Flux", "user", small_graph(comfy)),))
    assert (await run_wish(comfy, order("flux"), catalogue)).workflow == "Flux"
    assert (await run_wish(comfy, order("flux2"), catalogue)).workflow == "art/flux2"


def test_two_workflows_of_one_name_are_not_one_in_silence() -> None:
    text = json.dumps({"portrait": {"1": {"class_type": "A", "inputs": {}}}, "x": 1}).replace('"x": 1', "%s")
    twice = text % '"portrait": {"1": {"class_type": "B", "inputs": {}}}'
    assert 'Two workflows have the name "portrait"' in tool.read_pasted(twice, "user", "The valve").problems[0]


@pytest.mark.parametrize("name", ["workflow", "prompt", "output", "input"])
def test_a_workflow_among_others_may_be_called_like_an_envelope(name: str) -> None:
    one = {"1": {"class_type": "A", "inputs": {}}}
    entries = tool.read_pasted(json.dumps({name: one, "banner": one}), "user", "The valve").entries
    assert [entry.name for entry in entries] == [name, "banner"]


async def test_a_pasted_name_may_end_like_a_file(comfy: StandIn) -> None:
    catalogue = pasted(**{"portrait.json": small_graph(comfy)})
    for name in ("portrait", "portrait.json"):
        assert (await run_wish(comfy, order(name), catalogue)).workflow == "portrait"


async def test_thousands_of_names_are_searched_in_a_moment(comfy: StandIn) -> None:
    one = {"1": {"class_type": "A", "inputs": {}}}
    catalogue = tool.Catalogue(tuple(tool.Entry("same", "user", one) for _ in range(5000)), saved=False)
    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        began = time.process_time()
        with pytest.raises(tool.UnknownWorkflow):
            await catalogue.find(server, tool.Argument("x" * 100_000, "The argument workflow"))
        assert time.process_time() - began < 5


# --- seeds ---


def two_samplers(comfy: StandIn) -> dict[str, Any]:
    """A graph with a second sampler after the first, each with a seed of its own."""
    nodes = small_graph(comfy)
    second = json.loads(json.dumps(nodes["3"]))
    second["inputs"] |= {"latent_image": ["3", 0], "denoise": 0.5}
    second["_meta"] = {"title": "Second"}
    nodes["8"]["inputs"]["samples"] = ["33", 0]
    return nodes | {"33": second}


async def test_the_seed_of_one_sampler_is_its_own_when_the_call_says_so(comfy: StandIn) -> None:
    await run_wish(comfy, order("x", {"Second.seed": 123}), pasted(x=two_samplers(comfy)))
    nodes = comfy.prompts[-1]["prompt"]
    assert nodes["33"]["inputs"]["seed"] == 123
    assert nodes["3"]["inputs"]["seed"] != 123


@pytest.mark.parametrize("random_seed", [0, 2**31, tool.MAX_SEED])
@pytest.mark.parametrize("count", [1, 3])
def test_seeds_keep_to_the_range_of_the_node(random_seed: int, count: int) -> None:
    nodes = graph(
        service=("Service", {"prompt": "x", "seed": 5}),
        save=("SaveImage", {"images": "service.0"}),
    )
    inputs = {"prompt": ["STRING", {}], "seed": ["INT", {"min": 0, "max": 2**31 - 1}]}
    known = {"Service": tool.NodeDefinition.parse("Service", {"input": {"required": inputs}, "output": ["IMAGE"]})}
    choice = tool.FittedWorkflow(tool.Workflow.parse("x", nodes, known), tool.AS_SAVED, "")
    wish = tool.Request(
        count=tool.Argument(count, "count"), seed=tool.Argument(2**31 - 1, "seed") if random_seed == 0 else None
    )
    plan = tool.prepare(choice, wish, tool.Limits(), random_seed, datetime(2026, 11, 22))
    seeds = [workflow.value("seed") for workflow in plan.workflows]
    assert len(set(seeds)) == count
    assert all(0 <= seed < 2**31 for seed in seeds)


async def test_a_workflow_that_cannot_make_several_says_so(comfy: StandIn) -> None:
    made = await run_wish(comfy, order("x", {"count": 3}), pasted(x=loading("example.png")))
    assert len(made.products) == 1
    assert any("count was left out" in note for note in made.notes)


# --- texts ---


def test_choices_around_a_placeholder_are_made_and_what_is_put_in_is_left_as_it_is() -> None:
    nodes = graph(
        positive=("CLIPTextEncode", {"text": "a {red|red} {{prompt}} // remark"}),
        sampler=("KSampler", {"positive": "positive.0", "seed": 1, "steps": 2}),
        save=("SaveImage", {"images": "sampler.0"}),
    )
    workflow = tool.Workflow.parse("x", nodes, {}, frozenset({tool.Target("positive", "text")}))
    choice = tool.FittedWorkflow(workflow, tool.AS_SAVED, "", {})
    plan = tool.prepare(choice, tool.Request("{big|small} fox // x"), tool.Limits(), 1, datetime(2026, 11, 22))
    assert plan.workflows[0].graph["positive"]["inputs"]["text"] == "a red {big|small} fox // x "


# --- arguments that are not as they should be ---


async def test_a_class_name_means_the_same_beside_loras(comfy: StandIn) -> None:
    nodes = small_graph(comfy)
    nodes["3"]["inputs"]["model"] = ["40", 0]
    nodes["40"] = {
        "class_type": "LoraLoader",
        "inputs": {"lora_name": "detail.safetensors", "strength_model": 1.0, "strength_clip": 1.0}
        | {"model": ["4", 0], "clip": ["4", 1]},
        "_meta": {"title": "Mine"},
    }
    await run_wish(comfy, order("x", {"LoraLoader.strength_model": 0.4, "loras": "anime_style"}), pasted(x=nodes))
    assert sent(comfy, "Mine")["strength_model"] == 0.4


@pytest.mark.parametrize("inputs", [{"size": "auto", "loras": "none", "noise_seed": -1}, "none", "", None, {}])
async def test_what_stands_for_nothing_changes_nothing(comfy: StandIn, inputs: Any) -> None:
    await run_wish(comfy, order("x", inputs), pasted(x=small_graph(comfy)))
    nodes = comfy.prompts[-1]["prompt"]
    assert (nodes["5"]["inputs"]["width"], len(nodes)) == (64, 7)
    assert nodes["3"]["inputs"]["seed"] > 0


@pytest.mark.parametrize("value", [True, ["x", {}], {"a": 1}])
async def test_files_that_are_no_references_are_refused(value: Any) -> None:
    with pytest.raises(tool.BadArgument, match="The argument images"):
        await tool.Chat().input_files(value)


@pytest.mark.parametrize("value", [None, "", "null", [], [""], "[]", ["none"]])
async def test_no_files_are_no_files(value: Any) -> None:
    assert await tool.Chat().input_files(value) == []


async def test_too_many_files_are_refused_before_any_is_read() -> None:
    with pytest.raises(tool.LimitExceeded, match="40 files"):
        await tool.Chat().input_files([f"{n:036}" for n in range(40)])


async def test_nothing_is_sent_to_the_server_before_everything_else_is_known_to_be_right(comfy: StandIn) -> None:
    with pytest.raises(tool.BadArgument):
        await run_wish(comfy, order("x", {"typo": 1}, unread()), pasted(x=loading("example.png")))
    assert not any("upload" in request.path for request in comfy.requests)


@pytest.mark.parametrize(("value", "expected"), [(None, ""), ("null", ""), ("flux", "flux"), (["a", "b"], "a, b")])
def test_words_may_be_left_out(value: Any, expected: str) -> None:
    assert tool.words_of(value, "search") == expected


@pytest.mark.parametrize("value", [5, True, {"a": 1}])
def test_words_that_are_none_are_refused(value: Any) -> None:
    with pytest.raises(tool.BadArgument, match="The argument search"):
        tool.words_of(value, "search")


async def test_kinds_of_models_are_found_however_their_folder_is_spelt(comfy: StandIn) -> None:
    async def names(path: str) -> list[str]:
        return ["LLM", "ipadapter-flux"] if path == "/models" else ["a.gguf"]

    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        server.names = names  # type: ignore[method-assign]
        for kind in ("LLM", "llm", "ipadapter-flux", "IPAdapter Flux"):
            assert list((await tool.list_models(server, kind, "")).values()) == [["a.gguf"]]


async def test_many_missing_files_do_not_hold_up_the_others(comfy: StandIn) -> None:
    comfy.models = {**comfy.models, "loras": [f"some_lora_{n}.safetensors" for n in range(3000)]}
    await comfy.kill()
    await comfy.start()
    nodes = small_graph(comfy)
    for n in range(30):
        inputs = {"lora_name": f"gone{n}.safetensors", "strength_model": 1.0, "model": [str(99 + n) if n else "4", 0]}
        nodes[str(100 + n)] = {"class_type": "LoraLoaderModelOnly", "inputs": inputs}
    nodes["3"]["inputs"]["model"] = ["129", 0]
    slowest = 0.0

    async def watch() -> None:
        nonlocal slowest
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            slowest = max(slowest, time.monotonic() - began)

    watching = asyncio.create_task(watch())
    with pytest.raises(tool.ModelNotInstalled):
        await run_wish(comfy, order("x"), pasted(x=nodes))
    watching.cancel()
    assert slowest < 2


async def test_with_nothing_pasted_there_are_the_bundled_ones(comfy: StandIn) -> None:
    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        found = await tool.Catalogue().entries(server)
    assert {entry.source for entry in found.entries} == {"bundled"}
    assert await listed_models(comfy, "vae")
