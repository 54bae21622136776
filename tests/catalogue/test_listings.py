"""What list_workflows, describe_workflow and list_models answer: which workflows there are, why one cannot run, what
one takes, and which models are installed."""

import random
from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.runs import listed, listed_models, loading, pasted, save, small_graph
from tests.support.stand_in import StandIn

# --- lists and descriptions ---


async def test_the_list_says_what_each_is_for_and_why_it_cannot_be_run(comfy: StandIn) -> None:
    save(comfy, "broken.json", {"nodes": [{"id": 1, "type": "Strange"}], "links": []})
    catalogue = pasted(
        fox={"workflow": small_graph(comfy), "description": "Foxes only"}, gone=small_graph(comfy, ckpt_name="x.ckpt")
    )
    lines = {line["name"]: line for line in (await listed(comfy, catalogue))["workflows"]}
    assert lines["fox"] == {"name": "fox", "task": "text_to_image", "source": "administrator", "about": "Foxes only"}
    assert "x.ckpt" in lines["gone"]["cannot run"]
    assert "Strange" in lines["broken"]["cannot run"]
    assert "cannot run" not in lines["checkpoint"]
    assert {entry.name for entry in tool.bundled_entries()} <= set(lines)


async def test_the_list_is_searched_by_all_words(comfy: StandIn) -> None:
    found = await listed(comfy, search="Flux edit")
    assert found["workflows"]
    assert all("flux" in line["name"] and "edit" in line["name"] + line["about"] for line in found["workflows"])
    nothing = await listed(comfy, search="fluxx")
    assert nothing["workflows"] == []
    assert "flux" in nothing["closest"]


async def test_a_long_list_is_cut_with_a_count(comfy: StandIn) -> None:
    for number in range(60):
        save(comfy, f"w{number:02}.json", small_graph(comfy))
    found = await listed(comfy, search="w")
    assert len(found["workflows"]) == 40
    assert "more" in found


async def described(comfy: StandIn, name: str, catalogue: tool.Catalogue | None = None) -> dict[str, Any]:
    """What describe_workflow answers."""
    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        entry = await (catalogue or tool.Catalogue()).find(server, tool.Argument(name, "The argument workflow"))
        return await tool.describe_workflow(server, entry)


async def test_a_description_tells_types_ranges_choices_and_what_is_saved(comfy: StandIn) -> None:
    about = await described(comfy, "x", pasted(x=small_graph(comfy)))
    assert about["inputs"]["prompt"] == 'STRING, now "a lighthouse at dusk"'
    assert about["inputs"]["steps"] == "INT, 1 to 10000, now 2"
    assert about["inputs"]["seed"].endswith("random unless given")
    assert about["inputs"]["sampler"].startswith('COMBO, one of "euler"')
    assert "more" in about["inputs"]["sampler"]
    assert about["other inputs"]["SaveImage.filename_prefix"] == 'STRING, now "ComfyUI"'
    assert about["makes"] == ['image ("SaveImage")']
    assert about["models"] == {"checkpoints/sd_xl_base_1.0.safetensors": "installed"}
    assert about["task"] == "text_to_image"
    assert about["diagram"].startswith("```mermaid\nflowchart")


async def test_a_description_of_what_cannot_run_says_what_is_missing(comfy: StandIn) -> None:
    saved = small_graph(comfy, ckpt_name="gone.ckpt") | {"20": {"class_type": "Strange", "inputs": {"image": ["8", 0]}}}
    about = await described(comfy, "x", pasted(x=saved))
    assert about["missing nodes"] == ["Strange"]
    assert about["models"] == {"checkpoints/gone.ckpt": "not installed"}


async def test_a_bundled_workflows_models_count_under_names_alike(comfy: StandIn) -> None:
    comfy.models = {**comfy.models, "diffusion_models": ["z-image-turbo-fp8.safetensors"]}
    await comfy.kill()
    await comfy.start()
    about = await described(comfy, "z-image-turbo")
    assert (
        about["models"]["diffusion_models/z_image_turbo_bf16.safetensors"]
        == 'installed as "z-image-turbo-fp8.safetensors"'
    )


async def test_a_description_names_the_files_to_give(comfy: StandIn) -> None:
    assert (await described(comfy, "x", pasted(x=loading("example.png"))))["files"] == ['image for "LoadImage"']


async def test_a_description_tells_which_pictures_may_be_left_out_and_where_a_mask_goes(comfy: StandIn) -> None:
    assert (await described(comfy, "qwen-image-edit"))["files"] == [
        'image for "Image"',
        'image for "Image 2", optional',
        'image for "Image 3", optional',
    ]
    assert (await described(comfy, "checkpoint-inpaint"))["files"] == ['image and mask for "Image and mask"']


# --- models ---


async def test_models_are_listed_by_kind_under_the_names_that_people_use(comfy: StandIn) -> None:
    assert await listed_models(comfy, "loras") == {"loras": ["anime_style.safetensors", "detail.safetensors"]}
    assert (
        await listed_models(comfy, "LoRA") == await listed_models(comfy, "lora") == await listed_models(comfy, "loras")
    )
    assert await listed_models(comfy, "upscaler") == {"upscale_models": ["4x-UltraSharp.pth"]}
    assert "euler" in (await listed_models(comfy, "samplers"))["samplers"]
    assert "karras" in (await listed_models(comfy, "scheduler"))["schedulers"]


async def test_without_a_kind_they_are_counted_or_searched_for(comfy: StandIn) -> None:
    counted = (await listed_models(comfy))["installed"]
    assert counted["checkpoints"] == 4
    assert await listed_models(comfy, search="anime") == {"loras": ["anime_style.safetensors"]}


async def test_embeddings_are_listed_too(comfy: StandIn) -> None:
    comfy.models = {**comfy.models, "embeddings": ["easynegative.safetensors"]}
    await comfy.kill()
    await comfy.start()
    assert (await listed_models(comfy, "embedding"))["embeddings"]


async def test_a_search_without_a_find_gives_the_closest(comfy: StandIn) -> None:
    found = await listed_models(comfy, "loras", "anima")
    assert found["found"] == 0
    assert found["closest"][0] == "anime_style.safetensors"


async def test_an_unknown_kind_is_refused_with_all_kinds(comfy: StandIn) -> None:
    with pytest.raises(tool.BadArgument, match='no kind of model "hypernet"') as error:
        await listed_models(comfy, "hypernet")
    assert '"checkpoints"' in error.value.hint


async def test_a_long_list_of_models_is_cut_with_a_count(comfy: StandIn) -> None:
    names = [f"lora_{number:03}.safetensors" for number in range(100)]
    random.Random(1).shuffle(names)
    comfy.models = {**comfy.models, "loras": names}
    await comfy.kill()
    await comfy.start()
    found = await listed_models(comfy, "loras")
    assert (len(found["loras"]), found["more"]) == (60, {"loras": 40})


@pytest.mark.parametrize(
    "name",
    [
        *("api_key", "apiKey", "api_key_2", "Loader.api_key", "key", "accessKeyId", "token", "authToken", "AUTH_TOKEN"),
        *("Authorization", "bearer", "password", "passwd", "webhook_url", "credentials", "client_secret", "cookie"),
    ],
)
def test_an_input_that_holds_a_secret_is_known_by_its_name(name: str) -> None:
    assert tool.is_secret(name)


@pytest.mark.parametrize("name", ["max_tokens", "key_frames", "author", "monkey", "keyword", "prompt", "seed", "id"])
def test_other_inputs_hold_none(name: str) -> None:
    assert not tool.is_secret(name)
