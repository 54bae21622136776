"""What list_workflows, describe_workflow and list_models answer: which workflows there are, why one cannot run, what
one takes, and which models are installed."""

import json
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.conversion import classes, converted, digests, template
from tests.support.runs import listed, listed_models, loading, models_of, pasted, save, small_graph
from tests.support.stand_in import StandIn
from tests.support.tokens import tokens

# --- lists and descriptions ---


def lines_by_name(answer: dict[str, Any]) -> dict[str, Any]:
    """The lines of a list of workflows by their names; some are only a name."""
    lines = [{"name": line} if isinstance(line, str) else line for line in answer["workflows"]]
    return {line["name"]: line for line in lines}


async def test_the_list_says_what_each_is_for_and_why_it_cannot_be_run(comfy: StandIn) -> None:
    save(comfy, "broken.json", {"nodes": [{"id": 1, "type": "Strange"}], "links": []})
    catalogue = pasted(
        fox={"workflow": small_graph(comfy), "description": "Foxes only"}, gone=small_graph(comfy, ckpt_name="x.ckpt")
    )
    lines = lines_by_name(await listed(comfy, catalogue, everything=True))
    assert lines["fox"] == {"name": "fox", "source": "administrator", "about": "Foxes only"}
    assert "x.ckpt" in lines["gone"]["cannot run"]
    assert "Strange" in lines["broken"]["cannot run"]
    assert "cannot run" not in lines["checkpoint"]
    assert {entry.name for entry in tool.bundled_entries()} <= set(lines)


async def test_the_list_is_searched_by_all_words(comfy: StandIn) -> None:
    found = await listed(comfy, search="Flux edit")
    assert found["workflows"]
    assert all("flux" in line["name"] and line["task"] == "image_edit" for line in found["workflows"])
    nothing = await listed(comfy, search="fluxx")
    assert nothing["workflows"] == []
    assert nothing["closest"][0] == "flux"


async def test_what_is_said_to_be_close_is_close(comfy: StandIn) -> None:
    nothing = await listed(comfy, search="bicycle")
    assert (nothing["workflows"], nothing["closest"]) == ([], [])
    assert nothing["note"] == 'Nothing that can run here is found by "bicycle".'
    assert nothing["tasks"]["upscale"] == ["upscale"]


@pytest.fixture
async def studio() -> AsyncIterator[StandIn]:
    """A server with a model for films and one for music, which has none for edits."""
    models = models_of("checkpoint", "ltx-text-to-video", "ace-step", "upscale")
    async with StandIn(step_seconds=0.0, models=models) as server:
        yield server
        await tool.close_servers()


@pytest.mark.parametrize(
    ("search", "first"),
    [
        ("videos", "ltx-text-to-video"),
        ("make a video", "ltx-text-to-video"),
        ("text_to_video", "ltx-text-to-video"),
        ("text to video", "ltx-text-to-video"),
        ("animate", "ltx-text-to-video"),
        ("song", "ace-step"),
        ("Musik", "ace-step"),
        ("enlarge", "upscale"),
        ("explain checkpoint", "checkpoint"),
        ("portraits", "portrait"),
        ("face", "portrait"),
        ("studio", "portrait"),
    ],
)
async def test_a_search_understands_names_tasks_tags_and_the_words_near_them(
    studio: StandIn, search: str, first: str
) -> None:
    envelope = {"workflow": small_graph(studio), "description": "Studio light", "tags": ["face", "people"]}
    found = await listed(studio, pasted(portrait=envelope), search)
    assert next(iter(lines_by_name(found))) == first


async def test_what_can_run_comes_first_and_the_rest_is_a_count(studio: StandIn) -> None:
    found = await listed(studio)
    lines = lines_by_name(found)
    assert all("cannot run" not in line for line in lines.values())
    assert found["cannot run"].endswith(" more lack models or nodes; all=true lists them")
    assert found["tasks"]["text_to_video"] == ["ltx-text-to-video"]
    assert "image_edit" in found["nothing installed for"]
    everything = list(lines_by_name(await listed(studio, everything=True)).values())
    assert ["cannot run" in line for line in everything] == sorted("cannot run" in line for line in everything)
    assert len(everything) == len(tool.bundled_entries())
    assert await listed(studio, search="all") == await listed(studio, everything=True)


async def test_what_cannot_run_is_listed_where_the_search_names_it(studio: StandIn) -> None:
    (line,) = (await listed(studio, search="flux-kontext"))["workflows"]
    assert line["cannot run"].startswith("lacks diffusion_models/")


async def test_what_nobody_has_a_workflow_for_is_said(studio: StandIn) -> None:
    found = await listed(studio, search="speech")
    assert found["workflows"] == []
    assert found["note"] == 'Nothing that can run here is found by "speech".'
    tts = {"workflow": small_graph(studio), "description": "TTS in ten languages"}
    assert list(lines_by_name(await listed(studio, pasted(reader=tts), "speech"))) == ["reader"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("text_to_music", "A task can be named, or a workflow that does it: text_to_audio (ace-step)."),
        ("song", "A task can be named, or a workflow that does it: text_to_audio (ace-step)."),
        ("image_edit", "Nothing is installed for image_edit. "),
        ("text_to_speech", "Nothing is installed for speech. "),
        ("checkpont", 'Names like it: "checkpoint", '),
        ("bicycle", "A task can be named, or a workflow that does it: text_to_image (checkpoint); "),
    ],
)
async def test_who_names_a_workflow_that_there_is_not_is_told_what_does_what_was_meant(
    studio: StandIn, name: str, said: str
) -> None:
    async with tool.open_server(tool.Endpoint(studio.url)) as server:
        lines = (await tool.list_workflows(server, tool.Catalogue(), name))["workflows"]
    assert tool.tasks_note(lines, name).startswith(said)


async def test_nothing_is_suggested_that_would_then_be_refused(studio: StandIn) -> None:
    async with tool.open_server(tool.Endpoint(studio.url)) as server:
        lines = (await tool.list_workflows(server, tool.Catalogue(), "flux2"))["workflows"]
    assert "flux" not in tool.tasks_note(lines, "fluxx")


async def test_a_long_list_is_cut_with_a_count(quick_comfy: StandIn) -> None:
    for number in range(200):
        save(quick_comfy, f"folder/my workflow {number:03}.json", small_graph(quick_comfy))
    found = await listed(quick_comfy)
    assert tokens(found) < 600
    assert found["more"].endswith(" more; search for words of their names")
    assert list(lines_by_name(await listed(quick_comfy, search="workflow 199"))) == ["folder/my workflow 199"]


async def test_a_list_of_everything_that_is_bundled_is_short_enough_for_a_model() -> None:
    every = models_of(*[entry.name for entry in tool.bundled_entries()])
    async with StandIn(step_seconds=0.0, models=every) as server:
        found = await listed(server)
        await tool.close_servers()
    assert len(lines_by_name(found)) == len(tool.bundled_entries())
    assert tokens(found) < 600


async def described(
    comfy: StandIn, name: str, catalogue: tool.Catalogue | None = None, diagram: bool = False
) -> dict[str, Any]:
    """What describe_workflow answers."""
    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        entry = await (catalogue or tool.Catalogue()).find(server, tool.Argument(name, "The argument workflow"))
        return await tool.describe_workflow(server, entry, diagram)


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
    assert "diagram" not in about
    drawn = await described(comfy, "x", pasted(x=small_graph(comfy)), diagram=True)
    assert drawn["diagram"].startswith("```mermaid\nflowchart")


def test_the_largest_official_template_is_described_in_few_tokens() -> None:
    size, name = max((len(json.dumps(template("0.33.0", name))), name) for name in digests("0.33.0"))
    assert size > 200_000
    workflow = tool.Workflow.parse(name, converted("0.33.0", name), classes("0.33.0"))
    files = tool.file_inputs(workflow.flow)
    told = tool._inputs_within(workflow, files, tool.MOST_DESCRIBED)
    assert set(told["inputs"]) == set(workflow.parameters)
    assert tokens(told) < 2500


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


async def test_three_hundred_loras_are_a_short_answer_and_never_an_empty_one(comfy: StandIn) -> None:
    names = [f"SDXL/style_of_painter_{number:03}-v1.safetensors" for number in range(300)]
    comfy.models = {**comfy.models, "loras": names}
    await comfy.kill()
    await comfy.start()
    calls = [("", ""), ("loras", ""), ("all", ""), ("models", "*"), ("LoRA", "painter loras"), ("", "style")]
    for kind, search in calls:
        found = await listed_models(comfy, kind, search)
        assert found["loras"][0] == names[0]
        assert found["more"]["loras"] + len(found["loras"]) == 300
        assert tokens(found) < 900
    nothing = await listed_models(comfy, "", "zebra crossing")
    assert nothing["note"] == 'No installed name holds "zebra crossing".'
    assert nothing["closest"] == []


async def test_a_kind_of_which_nothing_is_installed_is_said_to_be_empty(comfy: StandIn) -> None:
    found = await listed_models(comfy, "embeddings")
    assert found["note"] == 'None of the kind "embeddings" is installed.'


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
    assert "anime_style.safetensors" in (await listed_models(comfy))["loras"]
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
