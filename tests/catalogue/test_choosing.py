"""Which workflow and which model a wish is made with: what it names, or else the best for which the server has all
files."""

import re
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

import comfyui_tool as tool
from tests.support.pictures import still
from tests.support.runs import make, models_of, pasted, settings
from tests.support.stand_in import DEFAULT_MODELS, StandIn

CHECKPOINTS = {"checkpoints": DEFAULT_MODELS["checkpoints"]}
FLUX = {
    "diffusion_models": ["flux1-dev.safetensors"],
    "text_encoders": ["clip_l.safetensors", "t5xxl_fp16.safetensors"],
    "vae": ["ae.safetensors"],
}
FROM_TEXT = [entry for entry in tool.bundled_entries() if entry.task == "text_to_image"]

pytestmark = pytest.mark.usefixtures("closed_servers")


def wish(*, model_level: int = 0, workflow_level: int = 0, **arguments: Any) -> tool.Request:
    """A call of generate_image with these arguments. A level says that a valve holds this one instead."""
    asked = settings().request("x", **arguments)
    levels = {"model": model_level, "workflow": workflow_level}
    held = {name: replace(wanted, level=levels[name]) for name in levels if (wanted := getattr(asked, name))}
    return replace(asked, **held)


async def choose(models: dict[str, list[str]], release: str = "0.33.0", **values: Any) -> tool.FittedWorkflow:
    """What is chosen on a server with these models."""
    async with StandIn(release=release, models=models) as comfy, tool.open_server(tool.Endpoint(comfy.url)) as server:
        return await tool.choose(server, wish(**values))


# --- choosing ---


@pytest.mark.parametrize(
    ("models", "workflow", "model"),
    [
        (DEFAULT_MODELS, "z-image-turbo", "z_image_turbo_bf16.safetensors"),
        (FLUX | CHECKPOINTS, "flux", "flux1-dev.safetensors"),
        (CHECKPOINTS, "checkpoint", "sd_xl_base_1.0.safetensors"),
        ({**FLUX, "vae": [], **CHECKPOINTS}, "checkpoint", "sd_xl_base_1.0.safetensors"),
        ({"checkpoints": ["sd_xl_refiner_1.0.safetensors", "dream.ckpt"]}, "checkpoint", "dream.ckpt"),
    ],
    ids=["everything", "flux", "checkpoints", "flux without its vae", "no refiner"],
)
@pytest.mark.parametrize("release", ["0.3.64", "0.33.0"])
async def test_the_workflow_whose_models_are_installed_is_chosen(
    models: dict[str, list[str]], workflow: str, model: str, release: str
) -> None:
    fitted = await choose(models, release)
    assert (fitted.workflow.name, fitted.model, fitted.notes) == (workflow, model, ())
    assert fitted.workflow.value("model") == model


@pytest.mark.parametrize(
    ("unreadable", "workflow"), [("/view_metadata/diffusion_models", "checkpoint"), ("/view_metadata", "z-image-turbo")]
)
async def test_files_that_the_server_cannot_read_are_the_last_to_be_chosen(unreadable: str, workflow: str) -> None:
    assert (await chosen_where(unreadable, "500 Internal Server Error\n\nServer got itself in trouble")) == workflow


async def test_a_proxy_that_fails_makes_no_file_unreadable() -> None:
    page = "<html><head><title>500 Internal Server Error</title></head></html>"
    assert await chosen_where("/view_metadata/diffusion_models", page) == "z-image-turbo"


async def chosen_where(path: str, failure: str) -> str:
    """The workflow that is chosen on a server where what is under a path fails with this answer."""

    async def fails(request: web.Request) -> web.Response | None:
        return web.Response(status=500, text=failure) if request.path.startswith(path) else None

    async with StandIn() as comfy, tool.open_server(tool.Endpoint(comfy.url)) as server:
        comfy.gate = fails
        return (await tool.choose(server, wish())).workflow.name


async def test_a_server_without_models_says_what_to_fetch() -> None:
    with pytest.raises(tool.ModelNotInstalled) as error:
        await choose({})
    for entry in FROM_TEXT:
        for need in entry.needs:
            assert f"{need.folder}/{need.file} ({need.source})" in error.value.hint


@pytest.mark.parametrize("name", ["flux1-dev", "FLUX1-DEV.safetensors"])
async def test_a_named_model_brings_its_own_workflow(name: str) -> None:
    fitted = await choose(DEFAULT_MODELS, model=name)
    assert (fitted.workflow.name, fitted.model) == ("flux", "flux1-dev.safetensors")


async def test_a_model_of_an_unknown_kind_is_told_from_one_that_is_missing() -> None:
    with pytest.raises(tool.ModelNotInstalled, match="no workflow is made for it") as error:
        await choose({"diffusion_models": ["hidream_i1_full_fp8.safetensors"]}, model="hidream_i1_full_fp8")
    assert "Name one of the workflows" not in error.value.hint, "each of them would be refused for its other files"
    with pytest.raises(tool.ModelNotInstalled) as error:
        models = {**FLUX, "diffusion_models": ["flux1-dev.safetensors", "hidream_i1_full_fp8.safetensors"]}
        await choose(models, model="hidream_i1_full_fp8")
    assert error.value.hint == 'Name one of the workflows "flux" with it to try it anyway.'


async def test_only_models_are_suggested_with_which_a_picture_could_be_made() -> None:
    models = {**FLUX, "diffusion_models": ["flux1-dev.safetensors", "wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors"]}
    with pytest.raises(tool.ModelNotInstalled) as error:
        await choose(models, model="midjourney")
    assert error.value.hint == 'Installed are: "flux1-dev.safetensors".'
    with pytest.raises(tool.ModelNotInstalled) as error:
        await choose({"diffusion_models": ["flux1-dev.safetensors"]}, model="midjourney")
    assert "flux1-dev" not in error.value.hint, "its text encoders are missing"


@pytest.mark.parametrize("name", [None, "MY_BEST"])
async def test_a_file_whose_name_tells_nothing_is_known_by_what_it_says_of_itself(name: str | None) -> None:
    models = {**FLUX, "diffusion_models": ["my_best.safetensors"]}
    async with StandIn(models=models) as comfy, tool.open_server(tool.Endpoint(comfy.url)) as server:
        comfy.metadata = {"my_best.safetensors": {"modelspec.architecture": "flux-1-schnell"}}
        fitted = await tool.choose(server, wish(model=name))
    assert (fitted.workflow.name, fitted.model, fitted.family.name) == ("flux", "my_best.safetensors", "Flux schnell")


@pytest.mark.parametrize(
    ("key", "kind", "family"),
    [
        ("modelspec.architecture", "stable-diffusion-v1", "Stable Diffusion 1.5"),
        ("modelspec.architecture", "stable-diffusion-xl-v1-base", "SDXL"),
        ("ss_base_model_version", "sdxl_base_v1-0", "SDXL"),
    ],
)
async def test_a_checkpoints_family_is_known_by_what_it_says_of_itself(key: str, kind: str, family: str) -> None:
    models = {"checkpoints": ["dream.safetensors"]}
    async with StandIn(models=models) as comfy, tool.open_server(tool.Endpoint(comfy.url)) as server:
        comfy.metadata = {"dream.safetensors": {key: kind}}
        fitted = await tool.choose(server, wish())
    assert fitted.family.name == family


async def test_a_file_that_says_it_is_something_else_is_passed_over() -> None:
    models = {"checkpoints": ["a_dream.safetensors", "b_dream.safetensors"]}
    async with StandIn(models=models) as comfy, tool.open_server(tool.Endpoint(comfy.url)) as server:
        comfy.metadata = {"a_dream.safetensors": {"modelspec.architecture": "stable-diffusion-xl-v1-refiner"}}
        fitted = await tool.choose(server, wish())
    assert fitted.model == "b_dream.safetensors"


async def test_a_named_workflow_takes_a_model_that_it_does_not_know() -> None:
    fitted = await choose(DEFAULT_MODELS, model="qwen_image_fp8_e4m3fn", workflow="z-image-turbo")
    assert fitted.model == "qwen_image_fp8_e4m3fn.safetensors"


async def test_an_unknown_workflow_is_refused_by_its_name() -> None:
    with pytest.raises(tool.UnknownWorkflow, match='"flux-turbo"') as error:
        await choose(DEFAULT_MODELS, workflow="flux-turbo")
    assert error.value.name == "flux-turbo"


async def test_a_model_from_a_valve_gives_way_to_a_workflow_from_the_call() -> None:
    fitted = await choose(DEFAULT_MODELS, model="tiny", model_level=2, workflow="flux")
    assert (fitted.workflow.name, fitted.model) == ("flux", "flux1-dev.safetensors")
    assert "tiny" in fitted.notes[0]


async def test_a_workflow_from_a_valve_gives_way_to_a_model_from_the_call() -> None:
    fitted = await choose(DEFAULT_MODELS, model="tiny", workflow="flux", workflow_level=1)
    assert (fitted.workflow.name, fitted.model) == ("checkpoint", "tiny.safetensors")


async def test_a_call_that_names_both_and_is_wrong_is_refused() -> None:
    with pytest.raises(tool.ModelNotInstalled):
        await choose(DEFAULT_MODELS, model="tiny", workflow="flux")


async def test_a_model_added_a_moment_ago_is_found() -> None:
    models = {"checkpoints": ["first.safetensors"]}
    async with StandIn(models=models) as comfy, tool.open_server(tool.Endpoint(comfy.url)) as server:
        await tool.choose(server, wish())
        models["checkpoints"].append("second.safetensors")
        fitted = await tool.choose(server, wish(model="second"))
    assert fitted.model == "second.safetensors"


async def test_node_definitions_are_asked_for_by_class_and_once() -> None:
    async with StandIn(models=CHECKPOINTS) as comfy, tool.open_server(tool.Endpoint(comfy.url)) as server:
        for _ in range(3):
            await tool.choose(server, wish(workflow="checkpoint"))
        asked = [request.path for request in comfy.requests if request.path.startswith("/object_info")]
    assert len(asked) == len(set(asked)) == 6
    assert "/object_info" not in asked


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("v1-5-pruned-emaonly.safetensors", "Stable Diffusion 1.5"),
        ("sd15_base.ckpt", "Stable Diffusion 1.5"),
        ("sd_xl_base_1.0.safetensors", "SDXL"),
        ("juggernautXL_v9.safetensors", "SDXL"),
        ("sdxl_lightning_8step.safetensors", "SDXL, few steps"),
        ("flux1-dev-fp8.safetensors", "Flux"),
        ("sd3.5_medium.safetensors", "Stable Diffusion 3.5"),
        ("ponyRealism_v14.safetensors", "SDXL"),
        ("SD1.5\\my_finetune.safetensors", "Stable Diffusion 1.5"),
        ("majicmixRealistic_v7.safetensors", "Stable Diffusion 1.5"),
        ("sd3.5_large_turbo.safetensors", "Stable Diffusion 3.5 Turbo"),
        ("dmd2_illustrious.safetensors", "SDXL, few steps"),
        ("my_model.safetensors stable-diffusion-xl-v1-base", "SDXL"),
        ("my_model.safetensors stable-diffusion-v1", "Stable Diffusion 1.5"),
        ("model_v1.45.safetensors", "Any other"),
    ],
)
def test_a_checkpoints_family_is_read_from_its_name(name: str, family: str) -> None:
    entry = next(entry for entry in tool.bundled_entries() if entry.name == "checkpoint")
    assert next(f.name for f in entry.families if re.search(f.match, name, re.IGNORECASE)) == family


@pytest.mark.parametrize(
    ("workflow", "index", "fitting", "others"),
    [
        ("flux", 0, ["flux1-dev-fp8.safetensors", "sub/flux_schnell.sft"], ["flux1-dev-kontext.sft", "flux2_dev.sft"]),
        ("flux", 0, ["flux1-krea-dev.safetensors"], ["flux-dev-controlnet-union.sft", "svdq-int4-flux.1-dev.sft"]),
        ("flux", 2, ["t5xxl_fp16.safetensors"], ["umt5_xxl_fp8.safetensors", "models_t5_umt5-xxl-enc-bf16.pth"]),
        (
            "flux",
            3,
            ["ae.safetensors", "flux_vae.safetensors"],
            ["flux2-vae.safetensors", "qwen_image_vae.safetensors"],
        ),
        ("z-image-turbo", 0, ["z_image_turbo_int8.safetensors"], ["Z-Image-Turbo-Fun-Controlnet-Union.safetensors"]),
        ("checkpoint", 0, ["realcartoon3d_v17.safetensors"], ["sam3.safetensors", "sd_xl_refiner_1.0.safetensors"]),
        (
            "checkpoint",
            0,
            [
                *("aestheticFlora_v3.safetensors", "samaritan3d_v4.safetensors", "anything-v4.5-vae-baked.ckpt"),
                *("sd3_medium_incl_clips_t5xxlfp8.safetensors", "clipart_xl.safetensors"),
            ],
            [
                *(
                    "ae.safetensors",
                    "clip_l.safetensors",
                    "SUPIR-v0Q.ckpt",
                    "sam_vit_h_4b8939.pth",
                    "sam_b.pt",
                    "sam.pth",
                ),
                *("sdxl_vae.safetensors", "t5xxl_fp16.safetensors", "add-detail.lora.safetensors"),
                *("sdxl_lightning_4step_lora.safetensors", "clip_vision_h.safetensors"),
            ],
        ),
    ],
)
def test_files_that_will_do_are_told_from_those_that_only_sound_alike(
    workflow: str, index: int, fitting: list[str], others: list[str]
) -> None:
    need = next(entry for entry in tool.bundled_entries() if entry.name == workflow).needs[index]
    assert [name for name in [*fitting, *others] if need.fits(name)] == fitting


async def test_a_node_added_a_moment_ago_is_found() -> None:
    async with StandIn() as comfy, tool.open_server(tool.Endpoint(comfy.url)) as server:
        assert await server.define("NodeOfTomorrow") is None
        known = await server.define("KSampler")
        assert known is not None
        asked = [request.path for request in comfy.requests]
        await server.define("NodeOfTomorrow")
        await server.define("KSampler")
        assert [request.path for request in comfy.requests][len(asked) :] == ["/object_info/NodeOfTomorrow"]


async def test_a_model_that_was_removed_is_not_offered_again() -> None:
    models = {"checkpoints": ["a_one.safetensors", "b_two.safetensors"]}
    asked = wish(size="64x64")
    async with StandIn(models=models) as comfy, tool.open_server(tool.Endpoint(comfy.url)) as server:
        await tool.choose(server, wish())
        models["checkpoints"].remove("a_one.safetensors")
        with pytest.raises(tool.ModelNotInstalled) as error:
            await make(comfy, wish=asked, timing=tool.Timing())
        assert "a_one" not in error.value.hint
        result = await make(comfy, wish=asked, timing=tool.Timing())
    assert result.model == "b_two.safetensors"


# --- what is meant by a name that nothing has ---

MANY = {
    **FLUX,
    "checkpoints": [
        "sd_xl_base_1.0.safetensors",
        "juggernautXL_v9.safetensors",
        "dreamshaper_8.safetensors",  # of the family of Stable Diffusion 1.5 as well
        "v1-5-pruned-emaonly.safetensors",
    ],
}


@pytest.mark.parametrize(
    ("asked", "workflow", "model", "taken_for"),
    [
        ({"model": "juggernaut"}, "checkpoint", "juggernautXL_v9.safetensors", '"juggernautXL_v9.safetensors"'),
        ({"model": "SDXL"}, "checkpoint", "sd_xl_base_1.0.safetensors", '"sd_xl_base_1.0.safetensors"'),
        ({"model": "Stable Diffusion XL base"}, "checkpoint", "sd_xl_base_1.0.safetensors", "sd_xl_base"),
        ({"model": "SD 1.5"}, "checkpoint", "v1-5-pruned-emaonly.safetensors", '"v1-5-pruned-emaonly.safetensors"'),
        ({"model": "Stable Diffusion 1.5"}, "checkpoint", "v1-5-pruned-emaonly.safetensors", "v1-5"),
        ({"model": "runwayml/stable-diffusion-v1-5"}, "checkpoint", "v1-5-pruned-emaonly.safetensors", "v1-5"),
        ({"model": "flux"}, "flux", "flux1-dev.safetensors", 'the workflow "flux"'),
        ({"model": "checkpoint"}, "checkpoint", "sd_xl_base_1.0.safetensors", 'the workflow "checkpoint"'),
        ({"model": "upscale"}, "upscale", "4x.pth", 'the workflow "upscale"'),
        ({"workflow": "juggernaut xl"}, "checkpoint", "juggernautXL_v9.safetensors", '"juggernautXL_v9.safetensors"'),
        ({"workflow": "Flux.1"}, "flux", "flux1-dev.safetensors", '"flux1-dev.safetensors"'),
        ({"workflow": "sd3.5 workflow", "model": ""}, "", "", ""),
        (
            {"workflow": "checkpoint", "model": "juggernaut"},
            "checkpoint",
            "juggernautXL_v9.safetensors",
            "juggernautXL",
        ),
    ],
    ids=str,
)
async def test_a_name_is_taken_for_the_one_that_its_words_mean(
    asked: dict[str, str], workflow: str, model: str, taken_for: str
) -> None:
    models = {**MANY, "upscale_models": ["4x.pth"]}
    if not workflow:
        with pytest.raises(tool.ModelNotInstalled, match=r'"sd3\.5" lacks'):
            await choose(models, **asked)
        return
    fitted = await choose(models, **asked)
    assert (fitted.workflow.name, fitted.model) == (workflow, model)
    assert "was taken for" in fitted.notes[-1]
    assert taken_for in fitted.notes[-1]


@pytest.mark.parametrize(
    ("name", "several"),
    [("flux1", ["flux1-dev", "flux1-schnell"]), ("sd xl", ["sd_xl_base_1.0", "sd_xl_other"]), ("xl", ["juggernautXL"])],
)
async def test_a_name_that_could_mean_several_is_a_question_that_lists_them(name: str, several: list[str]) -> None:
    models = {**MANY, "diffusion_models": ["flux1-dev.safetensors", "flux1-schnell.safetensors"]}
    models["checkpoints"] = [*MANY["checkpoints"], "sd_xl_other.safetensors"]
    with pytest.raises(tool.BadArgument, match="could be any of") as asked:
        await choose(models, model=name)
    assert all(one in asked.value.message for one in several)


async def test_a_workflow_somebody_saved_takes_a_model_by_its_words() -> None:
    async with StandIn(models=MANY) as comfy:
        catalogue = pasted(mine=comfy.example_graph())
        made = await make(comfy, wish=settings().request("x", workflow="mine", model="juggernaut"), catalogue=catalogue)
        assert made.model == "juggernautXL_v9.safetensors"
        assert any("was taken for" in note for note in made.notes)
        made = await make(comfy, wish=settings().request("x", workflow="my mine workflow"), catalogue=catalogue)
        assert made.workflow == "mine"
        made = await make(comfy, wish=settings().request("x", model="mine"), catalogue=catalogue)
        assert made.workflow == "mine"


# --- tasks ---


@pytest.mark.parametrize(
    ("name", "pictures", "task"),
    [
        ("text_to_video", 0, "text_to_video"),
        ("Text to Video", 0, "text_to_video"),
        ("txt2vid", 0, "text_to_video"),
        ("video", 0, "text_to_video"),
        ("make a video", 0, "text_to_video"),
        ("video", 1, "image_to_video"),
        ("text_to_video", 1, "text_to_video"),
        ("i2v", 0, "image_to_video"),
        ("animate", 1, "image_to_video"),
        ("text_to_music", 0, "text_to_audio"),
        ("a song", 0, "text_to_audio"),
        ("Musik", 0, "text_to_audio"),
        ("動画", 1, "image_to_video"),
        ("kontext", 1, ""),
        ("img2img", 1, "image_to_image"),
        ("animate this photo", 1, "image_to_video"),
        ("video from my image", 1, "image_to_video"),
        ("combine images", 2, "image_edit"),
        ("3d", 0, "image_to_3d"),
        ("inpainting", 1, "inpaint"),
        ("text_to_speech", 0, ""),
        ("controlnet", 0, ""),
        ("portrait", 0, ""),
        ("", 0, ""),
    ],
)
def test_a_task_is_known_by_what_people_call_it(name: str, pictures: int, task: str) -> None:
    assert tool.task_named(name, pictures) == task


async def test_a_task_stands_for_a_workflow_that_does_it() -> None:
    audio = models_of("ace-step")
    assert (await choose(audio, workflow="text_to_audio")).notes == ()
    fitted = await choose(audio, workflow="song")
    assert fitted.workflow.name == "ace-step"
    assert fitted.notes == ('The argument workflow "song" was taken for the task text_to_audio',)


async def test_what_somebody_saved_does_a_task_where_no_bundled_workflow_can() -> None:
    async with StandIn(models={"checkpoints": ["wan_mine.safetensors"]}) as comfy:
        catalogue = pasted(mine={"task": "text_to_audio", "workflow": comfy.example_graph()})
        made = await make(comfy, wish=settings().order("text_to_audio", {}, ()), catalogue=catalogue)
    assert made.workflow == "mine"


async def test_a_workflow_is_described_by_its_task_and_by_its_words() -> None:
    async with StandIn(models=models_of("ace-step")) as comfy, tool.open_server(tool.Endpoint(comfy.url)) as server:
        for name in ("text_to_audio", "music", "the ace-step workflow", "ace-step", "ACE Step v1 model"):
            entry = await tool.find_meant(server, tool.Catalogue(), tool.Argument(name, "workflow"))
            assert entry.name == "ace-step"
        with pytest.raises(tool.UnknownWorkflow):
            await tool.find_meant(server, tool.Catalogue(), tool.Argument("speech", "workflow"))
        with pytest.raises(tool.BadArgument, match="could be any of"):
            await tool.find_meant(server, tool.Catalogue(), tool.Argument("wan", "workflow"))


async def test_a_model_among_the_inputs_chooses_the_workflow() -> None:
    async with StandIn(models=MANY, step_seconds=0.0) as comfy:
        inputs = {"prompt": "x", "model": "juggernaut", "steps": 1}
        made = await make(comfy, wish=settings().order("text_to_image", inputs))
    assert (made.workflow, made.model) == ("checkpoint", "juggernautXL_v9.safetensors")


@pytest.mark.parametrize(("arguments", "task"), [({"strength": 0.4}, "image_to_image"), ({}, "image_edit")])
async def test_a_strength_chooses_a_workflow_that_has_one(arguments: dict[str, Any], task: str) -> None:
    models = models_of("flux-kontext", "checkpoint-image-to-image")
    for asked in (
        settings().edit("x", [still()], None, **arguments),
        settings().order("", {"prompt": "x", **arguments}, [still()]),
    ):
        async with StandIn(models=models) as comfy, tool.open_server(tool.Endpoint(comfy.url)) as server:
            assert (await tool.choose(server, asked)).task == task


# --- what was fitted is not fitted anew ---


async def test_a_bundled_workflow_is_the_same_until_its_files_or_definitions_change(comfy: StandIn) -> None:
    (entry,) = [entry for entry in tool.bundled_entries() if entry.name == "checkpoint"]
    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        first = await tool.fit_entry(server, entry, None)
        assert (await tool.fit_entry(server, entry, None)).workflow is first.workflow
        other = await tool.fit_entry(server, entry, tool.Argument("tiny2.safetensors", "The argument model"))
        assert other.workflow.value("model") == "tiny2.safetensors"
        again = await tool.fit_entry(server, entry, None)
        assert again.workflow == first.workflow
        server.forget()
        anew = await tool.fit_entry(server, entry, None)
        assert anew.workflow is not again.workflow
        assert all(anew.workflow.definitions[name] is server.definitions[name] for name in anew.workflow.definitions)


async def test_files_are_compared_once_for_each_list_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    rank = tool.ModelNeed.rank

    def counted(need: tool.ModelNeed, names: Any, **how: Any) -> list[str]:
        compared.append(len(list(names)))
        return rank(need, names, **how)

    monkeypatch.setattr(tool.ModelNeed, "rank", counted)
    async with StandIn() as comfy, tool.open_server(tool.Endpoint(comfy.url)) as server:
        asked = tool.Request(prompt="x", workflow=tool.Argument("checkpoint", "The argument workflow"))
        first = await tool.choose(server, asked)
        assert compared
        compared.clear()
        assert (await tool.choose(server, asked)).model == first.model
        assert not compared
        server.forget()
        await tool.choose(server, asked)
        assert compared, "the list was asked for anew"
