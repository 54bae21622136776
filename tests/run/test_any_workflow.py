"""Any workflow, as its author saved it: found by its name, given its inputs, files and LoRAs, held to the limits, and
run."""

import asyncio
import json
from datetime import datetime
from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.conversion import template
from tests.support.pictures import opened, still, unread
from tests.support.runs import (
    loading,
    models_of,
    order,
    pasted,
    pasted_by_user,
    run_wish,
    save,
    sent,
    settings,
    small_graph,
)
from tests.support.stand_in import DEFAULT_MODELS, StandIn
from tests.support.stand_in.files import Place

SD15 = {**DEFAULT_MODELS, "checkpoints": ["sub/v1-5-pruned-emaonly-fp16.safetensors", "tiny.safetensors"]}

pytestmark = pytest.mark.usefixtures("closed_servers")


# --- paths ---


async def test_a_caller_cannot_make_a_node_write_outside_comfyuis_folders(comfy: StandIn) -> None:
    graph = small_graph(comfy)
    for name in ("9.filename_prefix", "SaveImage.filename_prefix"):
        with pytest.raises(tool.BadArgument, match="leads out of the folder"):
            await run_wish(comfy, order("x", {name: "../../../evil"}), pasted(x=graph))
    assert comfy.prompts == []


# --- found by name ---


async def test_workflows_saved_on_the_server_are_found_with_their_folders(comfy: StandIn) -> None:
    save(comfy, "portrait.json", small_graph(comfy))
    save(comfy, "sub/Ünï code.json", small_graph(comfy))
    save(comfy, ".index.json", {})
    save(comfy, "notes.txt", {})
    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        assert await server.saved_workflows() == ["portrait.json", "sub/Ünï code.json"]
    for name in ("portrait", "Portrait.json", "sub/Ünï code", "ünï code"):
        assert (await run_wish(comfy, order(name))).products, name


async def test_a_server_on_which_nothing_was_ever_saved_has_none(comfy: StandIn) -> None:
    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        assert await server.saved_workflows() == []


async def test_of_two_with_one_name_the_first_source_wins_and_the_other_carries_its_own(comfy: StandIn) -> None:
    save(comfy, "flux.json", small_graph(comfy, text="from the server"))
    save(comfy, "mine.json", small_graph(comfy, text="from the server"))
    mine = tool.Entry("mine", "user", small_graph(comfy, text="from the user"))
    theirs = tool.Entry("mine", "administrator", small_graph(comfy, text="from the administrator"))
    catalogue = tool.Catalogue((mine, theirs))
    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        names = [(entry.name, entry.source) for entry in (await catalogue.entries(server)).entries]
    assert names[:4] == [
        ("mine", "user"),
        ("mine (administrator)", "administrator"),
        ("flux", "server"),
        ("mine (server)", "server"),
    ]
    assert ("flux (bundled)", "bundled") in names
    for name, text in (("mine", "the user"), ("mine (administrator)", "the administrator"), ("flux", "the server")):
        await run_wish(comfy, order(name), catalogue)
        assert sent(comfy, "CLIPTextEncode")["text"] == f"from {text}"


async def test_saved_workflows_can_be_kept_out(comfy: StandIn) -> None:
    save(comfy, "portrait.json", small_graph(comfy))
    with pytest.raises(tool.UnknownWorkflow, match='"portrait"'):
        await run_wish(comfy, order("portrait"), tool.Catalogue(saved=False))


async def test_an_unknown_name_is_answered_with_what_could_not_be_read(comfy: StandIn) -> None:
    with pytest.raises(tool.UnknownWorkflow) as error:
        await run_wish(comfy, order("portraits"), tool.Catalogue(problems=("The valve: This is no JSON.",)))
    assert error.value.name == "portraits"
    assert "This is no JSON" in error.value.hint


async def test_a_file_that_is_no_workflow_is_named(comfy: StandIn) -> None:
    save(comfy, "notes.json", {"a": 1})
    with pytest.raises(tool.WorkflowRefused, match=r'"notes" cannot be used\. This is an object with "a"'):
        await run_wish(comfy, order("notes"))


# --- as its author saved it ---


async def test_a_workflow_as_the_editor_saves_it_runs_with_nothing_mapped_by_hand() -> None:
    async with StandIn(release="0.3.64", models=SD15, step_seconds=0.0) as comfy:
        save(comfy, "dream.json", template("0.3.64", "image2image") | {"extra": {}})
        save(comfy, "plain.json", template("0.3.64", "lora"))
        comfy.models["loras"] = ["blindbox_v1_mix.safetensors", "MoXinV1.safetensors"]
        comfy.models["checkpoints"] += ["dreamshaper_8.safetensors"]
        wish = settings().request("a fox", workflow="plain", seed=7, steps=3, size="128x64", negative_prompt="a dog")
        result = await run_wish(comfy, wish)
    assert (result.workflow, result.seed, result.model) == ("plain", 7, "dreamshaper_8.safetensors")
    assert [product.size for product in result.products] == [tool.Size(128, 64)]
    sampler = sent(comfy, "KSampler")
    assert (sampler["seed"], sampler["steps"]) == (7, 3)
    texts = [n["inputs"]["text"] for n in comfy.prompts[-1]["prompt"].values() if n["class_type"] == "CLIPTextEncode"]
    assert sorted(texts) == ["a dog", "a fox"]


async def test_what_nobody_named_stays_as_it_was_saved(comfy: StandIn) -> None:
    saved = small_graph(comfy, cfg=3.3, scheduler="karras", negative="rain")
    await run_wish(comfy, order("x", {"prompt": "a fox", "seed": 9}), pasted(x=saved))
    expected = json.loads(json.dumps(saved))
    expected["6"]["inputs"]["text"] = "a fox"
    expected["3"]["inputs"]["seed"] = 9
    posted = {node_id: node["inputs"] for node_id, node in comfy.prompts[-1]["prompt"].items()}
    assert posted == {node_id: node["inputs"] for node_id, node in expected.items()}


async def test_a_seed_that_is_not_given_is_random_and_reported_and_repeats_the_picture(comfy: StandIn) -> None:
    catalogue = pasted(x=small_graph(comfy))
    first, other = await run_wish(comfy, order("x"), catalogue), await run_wish(comfy, order("x"), catalogue)
    assert first.seed != other.seed
    assert sent(comfy, "KSampler")["seed"] == other.seed
    again = await run_wish(comfy, order("x", {"seed": first.seed}), catalogue)
    pixels = [opened(result.products[0]).tobytes() for result in (first, other, again)]
    assert pixels[0] == pixels[2] != pixels[1]


async def test_choices_in_a_saved_text_are_made_by_the_seed_and_a_text_of_the_call_is_sent_as_it_is() -> None:
    ui = template("0.3.64", "lora")
    prompt = next(node for node in ui["nodes"] if node["type"] == "CLIPTextEncode" and node["widgets_values"][0])
    prompt["widgets_values"] = ["a {red|green|blue|black|white} fox // remark"]
    models = {
        "checkpoints": ["dreamshaper_8.safetensors"],
        "loras": ["blindbox_v1_mix.safetensors", "MoXinV1.safetensors"],
    }
    async with StandIn(release="0.3.64", models=models, step_seconds=0.0) as comfy:
        save(comfy, "fox.json", ui)

        async def texts(inputs: Any) -> set[str]:
            await run_wish(comfy, order("fox", {"steps": 1, "width": 64, "height": 64, **inputs}))
            return {n["inputs"].get("text") for n in comfy.prompts[-1]["prompt"].values()}

        first, again = await texts({"seed": 1}), await texts({"seed": 1})
        assert first == again
        assert any(f"a {colour} fox " in first for colour in ("red", "green", "blue", "black", "white"))
        assert "a {red|green} fox // remark" in await texts({"seed": 1, "prompt": "a {red|green} fox // remark"})


async def test_model_files_are_matched_whatever_their_folder_case_and_extension(comfy: StandIn) -> None:
    comfy.models = {**comfy.models, "checkpoints": ["SDXL\\Dream_8.safetensors"]}
    await comfy.kill()
    await comfy.start()
    await run_wish(comfy, order("x"), pasted(x=small_graph(comfy, ckpt_name="dream_8.ckpt")))
    assert sent(comfy, "CheckpointLoaderSimple")["ckpt_name"] == "SDXL\\Dream_8.safetensors"


async def test_a_model_file_that_is_missing_is_named_with_the_closest_and_can_be_replaced(comfy: StandIn) -> None:
    catalogue = pasted(x=small_graph(comfy, ckpt_name="tiny3.safetensors"))
    with pytest.raises(tool.ModelNotInstalled) as error:
        await run_wish(comfy, order("x"), catalogue)
    assert "checkpoints/tiny3.safetensors" in error.value.message
    assert '"tiny.safetensors"' in error.value.message
    result = await run_wish(comfy, order("x", {"model": "TINY"}), catalogue)
    assert result.model == "tiny.safetensors"


async def test_all_missing_nodes_are_named_at_once(comfy: StandIn) -> None:
    strange = {str(n): {"class_type": f"Strange{n}", "inputs": {"image": ["8", 0]}} for n in (20, 21)}
    with pytest.raises(tool.NodeNotInstalled, match='"Strange20", "Strange21"'):
        await run_wish(comfy, order("x"), pasted(x=small_graph(comfy) | strange))


async def test_links_in_a_circle_are_said_to_be(comfy: StandIn) -> None:
    saved = small_graph(comfy)
    saved["3"]["inputs"]["latent_image"] = ["3", 0]
    with pytest.raises(tool.WorkflowRefused, match="in a circle"):
        await run_wish(comfy, order("x"), pasted(x=saved))


async def test_a_workflow_of_five_thousand_nodes_runs(comfy: StandIn) -> None:
    saved = small_graph(comfy)
    for number in range(5000):
        source = ["8", 0] if not number else [str(1000 + number - 1), 0]
        saved[str(1000 + number)] = {"class_type": "ImageInvert", "inputs": {"image": source}}
    await run_wish(comfy, order("x", {"prompt": "y"}), pasted(x=saved))
    assert sent(comfy, "KSampler")["steps"] == 2


# --- its inputs ---


async def test_any_widget_is_reached_by_its_nodes_title(comfy: StandIn) -> None:
    await run_wish(comfy, order("x", {"KSampler.cfg": 2.5, "9.filename_prefix": "mine"}), pasted(x=small_graph(comfy)))
    assert sent(comfy, "KSampler")["cfg"] == 2.5
    assert sent(comfy, "SaveImage")["filename_prefix"] == "mine"


@pytest.mark.parametrize(
    ("inputs", "error", "says"),
    [
        ({"promt": "x"}, tool.BadArgument, '"promt".*It has: prompt.*steps (1 to 10000).*width (pixels, '),
        ({"filename_prefixes": "x"}, tool.BadArgument, 'Names like it: "SaveImage.filename_prefix"'),
        ({"KSampler.scheduler": "karas"}, tool.ValueOutOfRange, '"karas".*"karras"'),
        ({"sampler": "dpm 2m"}, tool.ValueOutOfRange, '"dpm 2m".*"dpmpp_2m"'),
        ({"steps": "plenty"}, tool.BadArgument, "The input steps"),
        ({"prompt": {"a": 1}}, tool.BadArgument, "The input prompt"),
        ("a fox", tool.BadArgument, "The argument inputs"),
        ([1], tool.BadArgument, "The argument inputs"),
    ],
)
async def test_an_input_that_cannot_be_is_refused_with_the_closest(
    comfy: StandIn, inputs: Any, error: type[tool.ComfyUIError], says: str
) -> None:
    with pytest.raises(error) as refused:
        await run_wish(comfy, order("x", inputs), pasted(x=small_graph(comfy)))
    text = f"{refused.value.message} {refused.value.hint}"
    assert all(part in text for part in says.split(".*")), text
    assert comfy.prompts == []


async def test_inputs_may_come_as_text_and_numbers_beyond_the_range_are_clamped_and_told(comfy: StandIn) -> None:
    result = await run_wish(comfy, order("x", '{"guidance": 900, "steps": "3"}'), pasted(x=small_graph(comfy)))
    assert sent(comfy, "KSampler")["cfg"] == 100.0
    assert sent(comfy, "KSampler")["steps"] == 3
    assert any("guidance" in note for note in result.notes)


async def test_size_and_count_are_understood_by_every_workflow_that_has_them(comfy: StandIn) -> None:
    result = await run_wish(comfy, order("x", {"size": "2:1", "count": 2}), pasted(x=small_graph(comfy)))
    sizes = [product.size for product in result.products]
    assert sizes == [tool.Size(64, 64)] * 2  # 2:1 at so few pixels, in steps of 64


async def test_what_a_placeholder_stands_for_is_put_in_and_the_rest_is_left_empty(comfy: StandIn) -> None:
    saved = small_graph(
        comfy, text="oil painting of {{prompt}}, {{style}}", negative="%negative_prompt%", cfg="%scale%"
    )
    result = await run_wish(comfy, order("x", {"prompt": "a fox"}), pasted(x=saved))
    assert result.products
    texts = {n["inputs"].get("text") for n in comfy.prompts[-1]["prompt"].values()}
    assert {"oil painting of a fox, ", ""} <= texts
    assert isinstance(sent(comfy, "KSampler")["cfg"], float)


# --- limits ---


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"steps": 200}, "steps.*100"),
        ({"KSampler.steps": 200}, "steps.*100"),
        ({"width": 8192, "height": 8192}, "megapixels.*4.2"),
        ({"batch_size": 50}, "batch_size.*4"),
        ({"EmptyLatentImage.batch_size": 50}, "batch_size.*4"),
        ({"count": 50}, "count.*4|batch_size.*4"),
    ],
)
async def test_limits_hold_for_every_workflow_and_way_of_naming(comfy: StandIn, inputs: Any, says: str) -> None:
    with pytest.raises(tool.LimitExceeded, match=says):
        await run_wish(comfy, order("x", inputs), pasted(x=small_graph(comfy)))
    assert comfy.prompts == []


async def test_a_limit_holds_for_what_a_user_pasted(comfy: StandIn) -> None:
    saved = small_graph(comfy)
    saved["3"]["inputs"]["steps"] = 150
    with pytest.raises(tool.LimitExceeded, match='"KSampler" has 150 as steps, and the administrator allows 100'):
        await run_wish(comfy, order("x"), pasted_by_user(x=saved), limits=tool.Limits(guards_own=True))


async def test_an_administrators_own_workflow_runs_as_it_is(comfy: StandIn) -> None:
    saved = small_graph(comfy)
    saved["3"]["inputs"]["steps"] = 150
    await run_wish(comfy, order("x"), pasted_by_user(x=saved), limits=tool.Limits(guards_own=False))
    assert sent(comfy, "KSampler")["steps"] == 150


async def test_what_the_administrator_saved_runs_as_it_is(comfy: StandIn) -> None:
    saved = small_graph(comfy)
    saved["3"]["inputs"]["steps"] = 150
    await run_wish(comfy, order("x"), pasted(x=saved))
    assert sent(comfy, "KSampler")["steps"] == 150


# --- LoRAs and models ---


async def test_loras_are_put_into_any_workflow_by_name_and_strength(comfy: StandIn) -> None:
    wish = settings().request("a fox", workflow="x", loras=["Detail:0.8", "anime_style"])
    await run_wish(comfy, wish, pasted(x=small_graph(comfy)))
    nodes = comfy.prompts[-1]["prompt"]
    loras = [node["inputs"] for node in nodes.values() if node["class_type"] == "LoraLoader"]
    assert [(lora["lora_name"], lora["strength_model"]) for lora in loras] == [
        ("detail.safetensors", 0.8),
        ("anime_style.safetensors", 1.0),
    ]
    assert nodes["3"]["inputs"]["model"][0] not in ("4",)


async def test_loras_may_be_given_as_one_text_and_to_run_workflow_too(comfy: StandIn) -> None:
    result = await run_wish(comfy, order("x", {"loras": "detail:0.5, anime_style"}), pasted(x=small_graph(comfy)))
    assert result.products
    assert sum(n["class_type"] == "LoraLoader" for n in comfy.prompts[-1]["prompt"].values()) == 2


async def test_a_lora_that_is_not_there_is_answered_with_the_closest(comfy: StandIn) -> None:
    wish = settings().request("a fox", loras=["details"])
    with pytest.raises(tool.ModelNotInstalled, match='"details"') as error:
        await run_wish(comfy, wish)
    assert '"detail.safetensors"' in error.value.hint


@pytest.mark.parametrize("text", ["", "oil painting of {{prompt}}"])
async def test_a_workflow_without_the_prompt_that_it_needs_says_so(comfy: StandIn, text: str) -> None:
    catalogue = pasted(x=small_graph(comfy, text=text)) if text else None
    with pytest.raises(tool.BadArgument, match="needs a prompt"):
        await run_wish(comfy, order("x" if text else "checkpoint"), catalogue)


async def test_a_valve_changes_nothing_in_a_workflow_that_the_call_named(comfy: StandIn) -> None:
    valves = tool.Valves(
        model="tiny2", size="2048x2048", negative_prompt="a dog", workflows=json.dumps({"x": small_graph(comfy)})
    )
    everybodys = tool.resolve(valves, None)
    result = await run_wish(comfy, everybodys.request("a fox", workflow="x"), everybodys.catalogue)
    assert (result.model, result.products[0].size) == ("sd_xl_base_1.0.safetensors", tool.Size(64, 64))
    texts = {n["inputs"].get("text") for n in comfy.prompts[-1]["prompt"].values()}
    assert texts == {None, "a fox", "blurry"}


async def test_a_bundled_video_has_the_shape_that_its_family_was_made_for(comfy: StandIn) -> None:
    entry = next(entry for entry in tool.bundled_entries() if entry.name == "wan-text-to-video")
    assert (entry.workflow.value("width"), entry.workflow.value("height")) == (832, 480)
    fitted = tool.FittedWorkflow(entry.workflow, entry.families[-1], "x", {})
    plan = tool.prepare(fitted, tool.Request("a fox"), tool.Limits(), 1, datetime(2026, 11, 22))
    assert (plan.workflows[0].value("width"), plan.workflows[0].value("height")) == (832, 480)


async def test_a_prompt_for_a_workflow_that_takes_none_is_refused(comfy: StandIn) -> None:
    wish = settings().request("a fox", workflow="upscale")
    with pytest.raises(tool.BadArgument, match='"upscale" takes no prompt'):
        await run_wish(comfy, wish)


# --- files ---


async def test_an_image_is_uploaded_once_under_a_name_of_its_content_and_worked_on(comfy: StandIn) -> None:
    for _ in range(2):
        result = await run_wish(comfy, order("upscale", None, unread()))
    assert result.products[0].size is not None
    loaders = [
        node for prompt in comfy.prompts for node in prompt["prompt"].values() if "LoadImage" in node["class_type"]
    ]
    (name,) = {node["inputs"]["image"] for node in loaders}
    assert name.startswith("open-webui-")


async def test_a_workflow_without_the_image_that_it_needs_says_so(comfy: StandIn) -> None:
    with pytest.raises(tool.BadArgument, match='The workflow "x" needs the image for'):
        await run_wish(comfy, order("x"), pasted(x=loading("gone.png")))


async def test_a_bundled_workflow_never_works_on_a_picture_that_nobody_gave(comfy: StandIn) -> None:
    with pytest.raises(tool.BadArgument, match='"upscale" needs the image'):
        await run_wish(comfy, order("upscale"))


async def test_the_authors_own_image_is_used_where_the_server_has_it(comfy: StandIn) -> None:
    assert (await run_wish(comfy, order("x"), pasted(x=loading("example.png")))).products


async def test_a_file_that_was_added_a_moment_ago_is_there(comfy: StandIn) -> None:
    with pytest.raises(tool.BadArgument):
        await run_wish(comfy, order("x"), pasted(x=loading("new.png")))
    comfy.files.put(Place("input", "", "new.png"), unread().data)
    assert (await run_wish(comfy, order("x"), pasted(x=loading("new.png")))).products


async def test_more_images_than_a_workflow_takes_are_refused(comfy: StandIn) -> None:
    with pytest.raises(tool.BadArgument, match='"x" takes 1 image, and 2 were given'):
        await run_wish(comfy, order("x", None, unread(), unread(colour="blue")), pasted(x=loading("example.png")))


async def test_a_mask_for_the_workflows_own_picture_is_not_passed_over_in_silence(comfy: StandIn) -> None:
    masked = loading("example.png") | {
        "3": {"class_type": "MaskToImage", "inputs": {"mask": ["1", 1]}},
        "4": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "y"}},
    }
    with pytest.raises(tool.BadArgument, match="goes with a picture, and none was given"):
        await run_wish(comfy, order("x", None, None, unread(colour="white")), pasted(x=masked))


async def test_a_mask_is_the_last_picture_where_only_a_task_is_named_too() -> None:
    async with StandIn(models=models_of("checkpoint-inpaint"), step_seconds=0.0) as comfy:
        files = [await asyncio.to_thread(still, colour=colour) for colour in ("red", "white")]
        result = await run_wish(comfy, order("inpaint", {"prompt": "a fox", "steps": 1}, *files))
        with pytest.raises(tool.BadArgument, match="3 pictures were given, which no workflow takes"):
            await run_wish(comfy, order("inpaint", {"prompt": "a fox"}, *files, files[0]))
    assert result.workflow == "checkpoint-inpaint"


async def test_what_is_missing_or_too_much_is_told_in_terms_of_the_call(comfy: StandIn) -> None:
    file = await asyncio.to_thread(still)
    with pytest.raises(tool.BadArgument) as unmasked:
        await run_wish(comfy, order("checkpoint-inpaint", {"prompt": "a fox"}, file))
    assert "last of `images` of run_workflow" in unmasked.value.hint
    with pytest.raises(tool.BadArgument, match="A picture was given, which no workflow takes") as useless:
        await run_wish(comfy, order("text_to_image", {"prompt": "a fox"}, file))
    assert "at most 0" not in useless.value.hint


async def test_a_scale_beside_a_size_wins_and_says_so(comfy: StandIn) -> None:
    file = await asyncio.to_thread(still)
    result = await run_wish(comfy, order("upscale", {"scale": 3, "size": "99x99"}, file))
    assert result.products[0].size == tool.Size(192, 192)
    assert "scale was followed, and size left out" in result.notes


async def test_the_picture_after_the_last_one_is_the_mask_even_if_it_is_the_first_one_again(comfy: StandIn) -> None:
    three = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
        "2": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
        "3": {"class_type": "LoadImageMask", "inputs": {"image": "example.png", "channel": "red"}},
        "4": {"class_type": "MaskToImage", "inputs": {"mask": ["3", 0]}},
    }
    for key in ("1", "2", "4"):
        three[f"9{key}"] = {"class_type": "SaveImage", "inputs": {"images": [key, 0], "filename_prefix": "x"}}
    white, blue = unread(colour="white"), unread(colour="blue")
    await run_wish(comfy, order("x", None, white, blue, white), pasted(x=three))
    loaded = [comfy.prompts[-1]["prompt"][key]["inputs"]["image"] for key in ("1", "2")]
    assert loaded == [white.stored_name, blue.stored_name]


async def test_what_is_no_picture_is_brought_back_as_well() -> None:
    async with StandIn(models=models_of("ace-step"), step_seconds=0.0) as comfy:
        result = await run_wish(comfy, order("ace-step", {"prompt": "jazz", "seconds": 1, "steps": 2}))
    assert [(product.content_type, product.ending, product.size) for product in result.products] == [
        ("audio/mpeg", "mp3", None)
    ]


async def test_a_video_is_as_many_seconds_long_as_the_call_says() -> None:
    async with StandIn(models=models_of("wan-text-to-video"), step_seconds=0.0) as comfy:
        inputs = {"prompt": "waves", "seconds": "half a second", "steps": 2, "size": "64x64"}
        await run_wish(comfy, order("text_to_video", inputs))
    lengths = [node["inputs"]["length"] for node in comfy.prompts[-1]["prompt"].values() if "length" in node["inputs"]]
    assert lengths == [9]


@pytest.mark.parametrize(
    ("prompt", "arguments", "note"),
    [
        ("a fox <lora:anime:0.6>", {}, "LoRAs were taken out of the prompt"),
        ("a fox", {"loras": [{"name": "anime style", "strength": 0.6}]}, ""),
        ("a fox", {"loras": ["anime", "0.6"]}, 'the LoRA "anime" was taken for "anime_style.safetensors"'),
        ("a fox --v 6", {"loras": {"anime_style": 0.6}}, '"--v 6" means nothing here'),
    ],
)
async def test_loras_in_any_shape_and_in_the_prompt_are_loaded(
    comfy: StandIn, prompt: str, arguments: dict[str, Any], note: str
) -> None:
    wish = settings().request(prompt, workflow="x", **arguments)
    result = await run_wish(comfy, wish, pasted(x=small_graph(comfy)))
    loader = sent(comfy, "LoraLoader")
    assert (loader["lora_name"], loader["strength_model"]) == ("anime_style.safetensors", 0.6)
    assert note in " ".join(result.notes)
    texts = [node["inputs"]["text"] for node in comfy.prompts[-1]["prompt"].values() if "text" in node["inputs"]]
    assert "a fox" in texts


async def test_an_aspect_ratio_in_the_prompt_is_the_size(comfy: StandIn) -> None:
    wish = settings().request("a dragon --ar 16:9", workflow="x")
    larger = comfy.example_graph(steps=1, seed=5, width=256, height=256)
    result = await run_wish(comfy, wish, pasted(x=larger))
    assert str(result.products[0].size) == "320x192"
    assert 'size "16:9" was taken out of the prompt' in result.notes


@pytest.mark.parametrize(
    ("inputs", "node", "values"),
    [
        ({"text": "an owl"}, "Positive", {"text": "an owl"}),
        ({"Tags": "an owl"}, "Positive", {"text": "an owl"}),
        ({"num_images": 2}, "EmptyLatentImage", {"batch_size": 2}),
        ({"n": "two"}, "EmptyLatentImage", {"batch_size": 2}),
        ({"aspect_ratio": "1:1", "steps": 3}, "EmptyLatentImage", {"width": 64, "height": 64}),
        ({"dimensions": {"width": 128, "height": 64}}, "EmptyLatentImage", {"width": 128, "height": 64}),
        ({"cfg": 3}, "KSampler", {"cfg": 3.0}),
        ({"guidance-scale": 3}, "KSampler", {"cfg": 3.0}),
        ({"num_inference_steps": "5 steps"}, "KSampler", {"steps": 5}),
        ({"sampling_method": "heun"}, "KSampler", {"sampler_name": "heun"}),
        ({"KSampler": {"cfg": 3, "steps": 4}}, "KSampler", {"cfg": 3.0, "steps": 4}),
        ({"3": {"class_type": "KSampler", "inputs": {"cfg": 3}}}, "KSampler", {"cfg": 3.0}),
        ({"filename_prefix": "owl"}, "SaveImage", {"filename_prefix": "owl"}),
        ({"lora": "anime_style:0.5"}, "LoraLoader", {"strength_model": 0.5}),
        ({"prompt": "an owl", "style": "oil"}, "Positive", {"text": "an owl, oil"}),
    ],
    ids=str,
)
async def test_inputs_are_known_by_the_names_that_other_systems_use(
    comfy: StandIn, inputs: dict[str, Any], node: str, values: dict[str, Any]
) -> None:
    await run_wish(comfy, order("x", inputs), pasted(x=titled_graph(comfy)))
    held = sent(comfy, node)
    assert {name: held[name] for name in values} == values


def titled_graph(comfy: StandIn) -> dict[str, Any]:
    graph = small_graph(comfy)
    sampler = next(node for node in graph.values() if node["class_type"] == "KSampler")
    graph[sampler["inputs"]["positive"][0]]["_meta"] = {"title": "Positive"}
    return graph


async def test_an_end_that_several_inputs_have_is_a_question(comfy: StandIn) -> None:
    graph = small_graph(comfy)
    graph["90"] = {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "y"}}
    with pytest.raises(tool.BadArgument, match="2 inputs that end in") as asked:
        await run_wish(comfy, order("x", {"filename_prefix": "owl"}), pasted(x=graph))
    assert ".filename_prefix" in asked.value.hint


async def test_what_is_said_twice_is_followed_once_and_noted(comfy: StandIn) -> None:
    result = await run_wish(comfy, order("x", {"prompt": "a fox", "text": "an owl"}), pasted(x=titled_graph(comfy)))
    assert sent(comfy, "Positive")["text"] == "a fox"
    assert "prompt was followed, and text left out" in result.notes


async def test_a_prompt_for_a_workflow_that_takes_none_is_left_out_and_noted() -> None:
    file = await asyncio.to_thread(still)
    async with StandIn(models={"upscale_models": ["4x.pth"]}, step_seconds=0.0) as comfy:
        wish = settings().order("upscale", {"scale": 2}, [file], prompt="sharper")
        result = await run_wish(comfy, wish)
    assert 'the workflow "upscale" takes no prompt; it was left out' in result.notes
