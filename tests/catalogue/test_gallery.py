"""The templates that came with a server: found by title, task, tag and model, listed without being read, chosen by
name, and where nothing else does a task."""

import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.gallery import NODES, files_read, group, mesh_graph, taking, template, with_gallery
from tests.support.pictures import still
from tests.support.runs import listed, order, pasted, run_wish, save, settings, small_graph
from tests.support.stand_in import StandIn
from tests.support.tokens import tokens

MODELS = {"checkpoints": ["tiny.safetensors", "tiny2.safetensors", "hunyuan3d-v2.safetensors"]}


@pytest.fixture
async def studio() -> AsyncIterator[StandIn]:
    """A server with a gallery."""
    async with StandIn(step_seconds=0.0, models=MODELS, custom_nodes=NODES) as comfy:
        yield with_gallery(comfy)
        await tool.close_servers()


async def chosen(comfy: StandIn, request: tool.Request, catalogue: tool.Catalogue | None = None) -> tool.FittedWorkflow:
    """What is chosen for a request."""
    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        return await tool.choose(server, request, catalogue or tool.Catalogue())


async def found(comfy: StandIn, name: str, catalogue: tool.Catalogue | None = None) -> tool.Entry:
    """The workflow of that name."""
    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        return await (catalogue or tool.Catalogue()).find(server, tool.Argument(name, "workflow"))


def names(answer: dict[str, Any]) -> list[str]:
    """The names of the workflows in a list."""
    return [line if isinstance(line, str) else line["name"] for line in answer["workflows"]]


# --- found by name ---


@pytest.mark.parametrize(
    ("name", "full_name"),
    [
        ("tiny_portrait", "tiny_portrait"),
        ("Tiny Portrait", "tiny_portrait"),
        ("tiny_portrait.json", "tiny_portrait"),
        ("Tiny: Portraits", "tiny_portrait"),
        ("ComfyUI-Lens/lens blur", "ComfyUI-Lens/lens blur"),
        ("lens blur", "ComfyUI-Lens/lens blur"),
    ],
)
async def test_a_template_is_found_by_its_name_and_its_title(studio: StandIn, name: str, full_name: str) -> None:
    entry = await found(studio, name)
    assert (entry.name, entry.source) == (full_name, "template")


async def test_what_is_saved_comes_before_a_template_of_that_name_and_what_is_bundled_behind(studio: StandIn) -> None:
    assert studio.gallery is not None
    studio.gallery.append(group("More", template("flux2", "Another", [], [])))
    save(studio, "tiny_sketch.json", small_graph(studio))
    assert (await found(studio, "tiny_sketch")).source == "server"
    assert (await found(studio, "flux2")).source == "template"
    assert (await found(studio, "flux")).source == "bundled"


async def test_a_bundled_workflow_comes_before_a_template_that_is_only_called_like_it(studio: StandIn) -> None:
    assert studio.gallery is not None
    studio.gallery.append(group("More", template("Up-Scale", "Qwen Image Edit", [], [])))
    studio.template_files["ComfyUI-Lens/flux"] = small_graph(studio)
    for name in ("upscale", "qwen-image-edit", "Qwen Image Edit", "flux"):
        assert (await found(studio, name)).bundled


async def test_templates_are_not_used_where_what_is_on_the_server_may_not_be(studio: StandIn) -> None:
    with pytest.raises(tool.UnknownWorkflow):
        await found(studio, "tiny_portrait", tool.Catalogue(saved=False))
    assert not [request for request in studio.requests if "template" in request.path]


# --- listed ---


async def test_a_list_without_a_search_counts_them_and_reads_none(studio: StandIn) -> None:
    answer = await listed(studio)
    assert answer["templates"] == "7 came with ComfyUI (1 paid); a search by task, model or word reads them"
    assert not any(name.startswith("tiny") for name in names(answer))
    assert files_read(studio) == []


@pytest.mark.parametrize(
    ("search", "first"),
    [
        ("portraits", ["tiny_portrait"]),
        ("text_to_image tiny", ["tiny_portrait", "tiny_sketch"]),
        ("Tiny", ["tiny_portrait", "tiny_sketch"]),
        ("3d", ["3d_hunyuan_image_to_model", "api_mesh_image_to_model"]),
        ("Hunyuan3D", ["3d_hunyuan_image_to_model"]),
        ("lens", ["ComfyUI-Lens/lens blur"]),
    ],
)
async def test_a_search_finds_them_by_title_tag_task_and_model_and_what_can_run_first_by_usage(
    studio: StandIn, search: str, first: list[str]
) -> None:
    answer = await listed(studio, search=search)
    runnable = [line for line in answer["workflows"] if "cannot run" not in line]
    assert names({"workflows": runnable}) == first
    assert all(line["source"] == "template" for line in runnable)


async def test_what_costs_money_says_so_and_comes_last(studio: StandIn) -> None:
    answer = await listed(studio, search="image_to_3d")
    assert [line.get("paid", "free") for line in answer["workflows"]] == ["free", "costs credits"]


async def test_what_a_template_lacks_is_said_of_one_that_was_read_and_guessed_of_others(studio: StandIn) -> None:
    (line,) = (await listed(studio, search="tiny_absent"))["workflows"]
    assert line["cannot run"] == "lacks checkpoints/tiny9.safetensors"
    async with tool.open_server(tool.Endpoint(studio.url)) as server:
        lines = (await tool.list_workflows(server, tool.Catalogue()))["workflows"]
    guessed = {line["name"]: line.get("cannot run") for line in lines}
    assert guessed["image_wondrous"] == "seems to lack the models: Wondrous (20.8 GB)"
    assert guessed["tiny_absent"] == "lacks checkpoints/tiny9.safetensors"
    assert guessed["tiny_portrait"] is None


async def test_a_model_that_is_added_is_noticed_without_reading_the_template_again(
    studio: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    await listed(studio, search="tiny_absent")
    studio.models["checkpoints"].append("tiny9.safetensors")
    try:
        monkeypatch.setattr(tool, "DOUBT_SECONDS", 0.0)
        (line,) = (await listed(studio, search="tiny_absent"))["workflows"]
    finally:
        studio.models["checkpoints"].remove("tiny9.safetensors")
    assert "cannot run" not in line
    assert files_read(studio) == ["/templates/tiny_absent.json"]


async def test_a_list_knows_what_was_read_before(studio: StandIn) -> None:
    await listed(studio, search="portraits")
    assert "tiny_portrait" in names(await listed(studio))
    assert files_read(studio) == ["/templates/tiny_portrait.json"]


async def test_where_models_cannot_be_listed_a_search_reads_what_it_finds(studio: StandIn) -> None:
    studio.misbehave.status_for = {"/models": 500}
    answer = await listed(studio, search="tiny")
    assert names(answer)[:2] == ["tiny_portrait", "tiny_sketch"]


def many(number: int) -> list[dict[str, Any]]:
    """A gallery of so many templates, each with its own description."""
    return [
        group(
            "Image",
            *[
                template(
                    f"image_{place}", f"Tiny {place}", ["Text to Image"], ["Tiny"], description=f"About {place} " * 20
                )
                for place in range(number)
            ],
        )
    ]


async def test_a_list_of_five_hundred_is_short_and_a_search_reads_few_of_them(studio: StandIn) -> None:
    studio.gallery = many(506)
    studio.template_files = {f"image_{place}": small_graph(studio) for place in range(506)}
    assert tokens(await listed(studio)) < 600
    assert files_read(studio) == []
    answer = await listed(studio, search="tiny")
    assert tokens(answer) < 600
    assert len(files_read(studio)) == tool.MOST_TEMPLATES_READ
    assert answer["not looked into"].startswith("482 templates")
    await listed(studio, search="tiny")
    assert len(files_read(studio)) == tool.MOST_TEMPLATES_READ
    assert tokens(await listed(studio, search="tiny", everything=True)) < 1200


async def test_the_index_is_asked_for_once(studio: StandIn) -> None:
    for search in ("", "tiny", "3d"):
        await listed(studio, search=search)
    assert [request.path for request in studio.requests].count("/templates/index.json") == 1


async def test_a_server_without_templates_is_no_error(comfy: StandIn) -> None:
    answer = await listed(comfy)
    assert answer["problems"] == []
    assert "templates" not in answer


async def test_a_list_that_cannot_be_read_is_a_problem_and_the_rest_is_told(studio: StandIn) -> None:
    studio.gallery = {"no": "list"}  # type: ignore[assignment]
    answer = await listed(studio, pasted(fox=small_graph(studio, ckpt_name="tiny.safetensors")))
    (problem,) = answer["problems"]
    assert problem.startswith("The templates of the ComfyUI server cannot be listed. ")
    assert names(answer)[0] == "fox"


async def test_a_server_whose_lists_cannot_be_had_runs_all_else_and_is_not_asked_again_at_once(
    studio: StandIn,
) -> None:
    studio.gallery = {"no": "list"}  # type: ignore[assignment]
    for _ in range(2):
        assert (await chosen(studio, order("checkpoint"))).workflow.name == "checkpoint"
    assert [request.path for request in studio.requests].count("/templates/index.json") == 1


# --- described ---


async def described(comfy: StandIn, name: str) -> dict[str, Any]:
    """What describe_workflow answers."""
    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        entry = await tool.find_meant(server, tool.Catalogue(), tool.Argument(name, "workflow"))
        return await tool.describe_workflow(server, entry)


async def test_a_template_is_described_from_its_file(studio: StandIn) -> None:
    about = await described(studio, "tiny_portrait")
    assert about["about"] == "Tiny: Portraits: Tiny: Portraits, described."
    assert about["models"] == {"checkpoints/tiny2.safetensors": "installed"}
    assert about["inputs"]["steps"] == "INT, 1 to 10000, now 2"
    assert "paid" not in about


async def test_a_description_says_that_a_template_costs_money(studio: StandIn) -> None:
    assert (await described(studio, "api_mesh_image_to_model"))["paid"].startswith("amount unknown")


@pytest.mark.parametrize("name", ["image_to_3d", "a 3D model", "mesh"])
async def test_a_task_that_only_a_template_does_is_described_by_it(studio: StandIn, name: str) -> None:
    assert (await described(studio, name))["name"] == "3d_hunyuan_image_to_model"


# --- chosen ---


async def test_a_picture_is_made_with_a_template_that_is_named(studio: StandIn) -> None:
    made = await run_wish(studio, settings().request("a fox", workflow="tiny_portrait", seed=3))
    assert made.workflow == "tiny_portrait"
    graph = studio.prompts[-1]["prompt"]
    assert "a fox" in [node["inputs"].get("text") for node in graph.values()]


def called_default(studio: StandIn, **more: Any) -> None:
    """Give the gallery a template with the name of ComfyUI 0.3.64's first one."""
    assert studio.gallery is not None
    studio.gallery.append(group("Getting started", template("default", "Image Generation", [], ["SD1.5"], **more)))


@pytest.mark.parametrize("workflow", ["default", "default.json"])
async def test_a_template_may_be_called_by_a_word_that_else_means_none(studio: StandIn, workflow: str) -> None:
    called_default(studio)
    studio.template_files["default"] = small_graph(studio)
    for request in (
        settings().request("a fox", workflow=workflow),
        settings().order(workflow, {"prompt": "a fox", "seed": 3}),
    ):
        fitted = await chosen(studio, request)
        assert (fitted.workflow.name, fitted.notes) == ("default", ())


async def test_a_saved_workflow_may_be_called_by_such_a_word(studio: StandIn) -> None:
    save(studio, "auto.json", small_graph(studio))
    assert (await chosen(studio, settings().request("a fox", workflow="auto"))).workflow.name == "auto"
    assert (await chosen(studio, settings().request("a fox", workflow="default"))).workflow.name == "checkpoint"
    assert (await chosen(studio, settings().request("a fox"))).workflow.name == "checkpoint"


async def test_a_template_of_such_a_name_that_cannot_run_leaves_the_choice_to_what_is_bundled(studio: StandIn) -> None:
    called_default(studio)
    studio.template_files["default"] = small_graph(studio, ckpt_name="absent.safetensors")
    fitted = await chosen(studio, settings().request("a fox", workflow="default"))
    assert fitted.workflow.name == "checkpoint"
    assert 'the template "default" cannot run here, and "checkpoint" was taken' in fitted.notes


async def test_without_a_name_a_bundled_workflow_is_chosen(studio: StandIn) -> None:
    fitted = await chosen(studio, settings().request("a fox"))
    assert fitted.workflow.name == "checkpoint"
    assert files_read(studio) == []


@pytest.mark.parametrize("name", ["image_to_3d", "Image to 3D", "3d", "make a 3D model of this", "mesh"])
async def test_a_task_that_only_a_template_does_is_done_by_a_free_one(studio: StandIn, name: str) -> None:
    fitted = await chosen(studio, order(name, None, still()))
    assert fitted.workflow.name == "3d_hunyuan_image_to_model"
    assert 'the template "3d_hunyuan_image_to_model" of the ComfyUI server was taken' in fitted.notes


async def test_a_task_is_done_by_what_somebody_saved_before_a_template(studio: StandIn) -> None:
    save(studio, "my mesh.json", mesh_graph())
    assert (await chosen(studio, order("image_to_3d", None, still()))).workflow.name == "my mesh"


async def test_what_costs_money_is_chosen_by_nobody_but_who_names_it(studio: StandIn) -> None:
    studio.template_files["3d_hunyuan_image_to_model"] = mesh_graph("gone.safetensors")
    with pytest.raises(tool.ModelNotInstalled, match="Nothing that can run here does the task image_to_3d") as error:
        await chosen(studio, order("image_to_3d", None, still()))
    assert '"3d_hunyuan_image_to_model": lacks gone.safetensors.' in error.value.hint
    assert '"api_mesh_image_to_model"' in error.value.hint
    fitted = await chosen(studio, order("api_mesh_image_to_model", None, still()))
    assert fitted.workflow.name == "api_mesh_image_to_model"


async def test_a_template_that_costs_money_and_does_not_say_so_is_not_chosen_for_a_task(studio: StandIn) -> None:
    assert studio.gallery is not None
    sly = template("3d_sly", "Sly: Image to Model", ["Image to 3D"], ["Hunyuan3D"], usage=9999, io=taking("image"))
    studio.gallery.append(group("More", sly))
    studio.template_files["3d_sly"] = mesh_graph(node="PaidMesh")
    assert (await chosen(studio, order("image_to_3d", None, still()))).workflow.name == "3d_hunyuan_image_to_model"
    lines = (await listed(studio, search="image_to_3d"))["workflows"]
    assert [(line["name"], "paid" in line) for line in lines] == [
        ("3d_hunyuan_image_to_model", False),
        ("3d_sly", True),
        ("api_mesh_image_to_model", True),
    ]


async def test_a_free_template_comes_before_what_somebody_saved_that_costs_money(studio: StandIn) -> None:
    save(studio, "my mesh.json", mesh_graph(node="PaidMesh"))
    assert (await chosen(studio, order("image_to_3d", None, still()))).workflow.name == "3d_hunyuan_image_to_model"
    studio.template_files["3d_hunyuan_image_to_model"] = mesh_graph("gone.safetensors")
    assert (await chosen(studio, order("image_to_3d", None, still()))).workflow.name == "my mesh"


async def test_a_task_that_nothing_is_for_is_an_unknown_workflow(comfy: StandIn) -> None:
    with pytest.raises(tool.UnknownWorkflow):
        await chosen(comfy, order("image_to_3d", None, still()))


async def test_words_of_a_title_mean_the_one_template_that_can_run(studio: StandIn) -> None:
    fitted = await chosen(studio, order("hunyuan model"))
    assert fitted.workflow.name == "3d_hunyuan_image_to_model"
    assert fitted.notes == (
        'The argument workflow "hunyuan model" was taken for the template "3d_hunyuan_image_to_model"',
    )


@pytest.mark.parametrize(
    ("name", "files", "chosen_name"),
    [
        ("lip", ["image"], "lip_from_picture"),
        ("lip", ["video"], "lip_from_film"),
        ("lip sync", [], "lip_from_words"),
        ("service", ["image"], "api_lip_service"),
    ],
)
async def test_of_templates_for_one_word_that_is_taken_which_takes_what_is_given_and_costs_nothing(
    studio: StandIn, name: str, files: list[str], chosen_name: str
) -> None:
    tags, models = ["Lip Sync"], ["Tiny"]
    studio.gallery = [
        group(
            "Video",
            template(
                "api_lip_service", "Lip Service", ["API"], ["Service"], size=0, io=taking("image"), openSource=False
            ),
            template("lip_from_words", "From words", tags, models),
            template("lip_from_film", "From a film", tags, models, io=taking("video")),
            template("lip_from_picture", "From a picture", tags, models, io=taking("image")),
        )
    ]
    graph = small_graph(studio, ckpt_name="tiny.safetensors")
    studio.template_files = {each["name"]: graph for each in studio.gallery[0]["templates"]}
    given = [tool.InputFile(b"x", "mp4", kind="video") if kind == "video" else still() for kind in files]
    assert (await chosen(studio, order(name, None, *given))).workflow.name == chosen_name


async def test_a_family_of_models_is_meant_before_a_template_that_is_called_like_it(studio: StandIn) -> None:
    assert studio.gallery is not None
    studio.models["checkpoints"].append("sd_xl_base_1.0.safetensors")
    studio.gallery.append(group("More", template("sdxl_simple", "SDXL: Simple", ["Text to Image"], ["SDXL"])))
    fitted = await chosen(studio, order("Stable Diffusion XL"))
    studio.models["checkpoints"].remove("sd_xl_base_1.0.safetensors")
    assert (fitted.workflow.name, fitted.model) == ("checkpoint", "sd_xl_base_1.0.safetensors")


async def test_words_of_several_templates_are_a_question(studio: StandIn) -> None:
    with pytest.raises(tool.BadArgument, match='"tiny_portrait", "tiny_sketch"'):
        await chosen(studio, replace(order("tiny text to image"), model=tool.Argument("x", "model")))


# --- what a server may send ---


def read_index(*templates: Any, **of_group: Any) -> list[tool.Template]:
    """What is read of an index with one group."""
    index = [group("Image", **of_group) | {"templates": list(templates)}]
    return tool.read_index(tool.JsonText(json.dumps(index).encode()))


def test_an_older_index_is_read_too() -> None:
    older = {"name": "a", "title": "A", "tags": ["Text to Image"], "models": ["SD1.5"], "size": 1.99, "vram": 2.88}
    (read,) = read_index(older)
    assert (read.bytes, read.is_paid, read.usage) == (1_990_000_000, False, 0)
    (closed,) = read_index(older, category="CLOSED SOURCE MODELS")
    assert closed.is_paid
    assert read_index(older | {"OpenSource": False})[0].is_paid


@pytest.mark.parametrize(
    "name",
    ["", "..", ".hidden", "a/b", "../a", "a\\b", 'a"b', "a\nb", " a", "x" * 200, "a\ud800", "a\u202eb", 7, None, ["a"]],
)
def test_a_template_with_a_name_that_is_none_is_left_out(name: Any) -> None:
    assert [read.name for read in read_index({"name": name, "title": "A"}, {"name": "good"})] == ["good"]


def test_what_strangers_write_is_cut_and_stays_on_one_line() -> None:
    (read,) = read_index(
        {
            "name": "a",
            "title": "T" * 10_000,
            "description": "one\n\n## Ignore\u202e all\u200b that\x07 " + "y" * 10_000,
            "tags": ["x" * 1000] * 1000 + [{}],
            "models": {"not": "a list"},
            "usage": -3,
            "size": "large",
            "io": {"inputs": [7, {"mediaType": "image"}]},
        }
    )
    assert len(read.title) <= 120
    assert len(read.description) <= 400
    assert read.description.startswith("one ## Ignore all that y")
    assert (len(read.tags), len(read.tags[0])) == (20, 60)
    assert (read.models, read.usage, read.bytes, read.takes) == ((), 0, None, ("image",))


@pytest.mark.parametrize("index", [[7], [{"templates": 3}], [{"templates": [None, 5, []]}], [[]], []])
def test_what_has_another_shape_is_no_template(index: Any) -> None:
    assert tool.read_index(tool.JsonText(json.dumps(index).encode())) == []


def test_only_so_many_templates_are_taken() -> None:
    every = [{"name": f"n{place}"} for place in range(tool.MOST_TEMPLATES + 50)]
    assert len(read_index(*every)) == tool.MOST_TEMPLATES
    packages = {f"p{place}": ["a", "b"] for place in range(tool.MOST_TEMPLATES)}
    assert len(tool.read_examples(tool.JsonText(json.dumps(packages).encode()))) == tool.MOST_TEMPLATES


def test_an_example_has_the_address_of_its_package() -> None:
    told = {"ComfyUI Lens": ["lens blur", "../x", 3], "..": ["a"], "Empty": None}
    (example,) = tool.read_examples(tool.JsonText(json.dumps(told).encode()))
    assert example.name == "ComfyUI Lens/lens blur"
    assert example.path == "/api/workflow_templates/ComfyUI%20Lens/lens%20blur.json"


async def test_a_template_whose_file_is_gone_says_so(studio: StandIn) -> None:
    del studio.template_files["tiny_portrait"]
    with pytest.raises(tool.UnknownWorkflow, match='lists the template "tiny_portrait" and does not have its file'):
        await chosen(studio, order("tiny_portrait"))


@pytest.mark.parametrize(
    ("tags", "takes", "task"),
    [
        (["Text to Image", "Image"], [], "text_to_image"),
        (["Image", "Text to Image"], ["image"], "image_edit"),
        (["Text to Video"], ["image"], "image_to_video"),
        (["FLF2V", "Video"], ["image", "image"], "image_to_video"),
        (["Inpainting", "Video"], ["video"], "video_to_video"),
        (["ControlNet", "Video"], ["video", "image"], "video_to_video"),
        (["Text Generation"], ["video"], "text"),
        (["Image to Model", "API"], ["image"], "image_to_3d"),
        (["Node Basics"], ["image"], ""),
    ],
)
def test_tags_and_files_tell_the_task(tags: list[str], takes: list[str], task: str) -> None:
    assert tool.task_of_tags(tags, takes) == task


def test_the_index_of_the_real_gallery_is_read_in_a_moment() -> None:
    text = json.dumps(many(506)).encode()
    began = time.process_time()
    assert len(tool.read_index(tool.JsonText(text))) == 506
    assert time.process_time() - began < 1


def test_the_file_that_a_template_is_given_is_one_that_it_takes() -> None:
    assert read_index({"name": "a", "io": taking("video")})[0].takes == ("video",)
