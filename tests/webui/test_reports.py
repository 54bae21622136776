"""What the model is told of a call: short, whole, and in the one shape that Open WebUI passes on as it is."""

import json
import uuid
from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.pictures import png, saved
from tests.support.samples import holed, recorded
from tests.support.tokens import tokens


def made(*products: tool.OutputFile, **over: Any) -> tool.RunResult:
    """A run that made these files."""
    about: dict[str, Any] = {"seed": 7, "model": "sd_xl_base_1.0.safetensors", "workflow": "sdxl", "seconds": 8.1}
    return tool.RunResult(tuple(products), notes=(), **{**about, **over})


def stored(count: int) -> list[dict[str, Any]]:
    """What a message holds of so many pictures."""
    return [
        {"type": "image", "id": f"id-{n}", "url": f"/files/id-{n}", "content_type": "image/png"} for n in range(count)
    ]


def test_a_result_is_json_without_spaces_and_without_what_is_empty() -> None:
    result = {"status": "done", "size": "", "images": [], "seed": 0, "more": {"a": None, "b": False}, "none": {"a": ""}}
    assert tool.as_answer(result) == '{"status":"done","seed":0,"more":{"b":false}}'


def test_letters_of_all_scripts_are_told_as_they_are() -> None:
    assert tool.as_answer({"note": "桜の下の猫"}) == '{"note":"桜の下の猫"}'


def test_a_result_with_copies_for_the_model_stays_a_dictionary() -> None:
    copies = ["data:image/jpeg;base64,AAAA"]
    assert tool.as_answer({"status": "done", "text": [], "copies": copies}) == {"status": "done", "copies": copies}


@pytest.mark.parametrize(
    ("count", "numbers", "shown", "told"),
    [
        (1, {"id-0": 3}, True, [{"number": 3, "id": "id-0"}]),
        (2, {"id-0": 3, "id-1": 4}, True, [{"number": 3}, {"number": 4}]),
        (2, {}, True, [{"id": "id-0"}, {"id": "id-1"}]),
        (1, {}, False, [{"id": "id-0", "url": "/files/id-0"}]),
    ],
)
def test_a_picture_has_its_number_or_its_id_and_an_address_only_where_nobody_sees_it(
    count: int, numbers: dict[str, int], shown: bool, told: Any
) -> None:
    result, _ = tool.report(made(), stored(count), shown, numbers)
    assert result["images"] == told


@pytest.mark.parametrize(
    ("count", "shown", "note"),
    [
        (1, True, "The user sees it already; do not show or link it again."),
        (2, True, "The user sees them already; do not show or link them again."),
        (1, False, "Stored as files of the user."),
    ],
)
def test_the_model_is_told_what_to_do_about_pictures(count: int, shown: bool, note: str) -> None:
    result, _ = tool.report(made(), stored(count), shown)
    assert result["note"] == note


def test_a_film_that_is_seen_has_a_player_and_no_other_address() -> None:
    film = {"type": "file", "id": "x", "url": "/files/x", "name": "waves.mp4", "content_type": "video/mp4"}
    shown, _ = tool.report(made(), [film], True)
    assert shown["files"] == [{"name": "waves.mp4", "id": "x"}]
    assert shown["players"].count("<video") == 1
    unseen = json.loads(str(tool.as_answer(tool.report(made(), [film], False)[0])))
    assert unseen["files"] == [{"name": "waves.mp4", "id": "x", "url": "/files/x"}]
    assert "players" not in unseen


# --- what was used ---


def test_what_was_used_is_told_and_the_size_that_came_out_goes_before_the_one_asked_for() -> None:
    picture = tool.read_product(tool.hold(png((64, 48))), "a.png")
    used = {"steps": 20, "guidance": 7.0, "size": "60x40", "loras": ["anime:0.6"]}
    result, _ = tool.report(made(picture, used=used), stored(1), True, worked_on=[2, 1])
    assert {name: result[name] for name in ("steps", "guidance", "loras", "size", "from")} == {
        "steps": 20,
        "guidance": 7.0,
        "loras": ["anime:0.6"],
        "size": "64x48",
        "from": [2, 1],
    }


# --- what was stored before ---


@pytest.mark.parametrize(
    ("repeated", "note", "status"),
    [
        ({"id-0": True, "id-1": True}, "the same as pictures 1 and 2 of this chat: shown again, not stored anew", True),
        ({"id-1": True}, "the same as picture 2 of this chat: shown again, not stored anew", False),
        ({"id-0": False}, "the same file was stored before: shown again, not stored anew", False),
        ({"id-0": False, "id-1": False}, "the same 2 files were stored before: shown again, not stored anew", True),
    ],
)
def test_a_file_that_was_stored_before_is_said_to_be(repeated: dict[str, bool], note: str, status: bool) -> None:
    result, text = tool.report(made(), stored(2), True, {"id-0": 1, "id-1": 2}, repeated=repeated)
    assert note in result["adjusted"]
    assert text.endswith("Shown again") == status


def test_a_film_tells_its_seconds_frames_and_size() -> None:
    film = {"type": "file", "id": "x", "url": "/files/x", "name": "waves.mp4", "content_type": "video/mp4"}
    product = tool.read_product(tool.hold(recorded("clip.mp4")), "waves.mp4")
    times = [tool.RunningTime(5.0417, 121)]
    result, _ = tool.report(made(product, used={"size": "832x480"}), [film], True, times=times)
    assert (result["seconds"], result["frames"], result["size"]) == (5.04, 121, "832x480")
    several, _ = tool.report(made(product, product), [film, film], True, times=[*times, tool.RunningTime(2.0, 49)])
    assert (several["seconds"], several["frames"]) == ([5.04, 2.0], [121, 49])


def test_a_film_of_another_length_than_the_graph_was_asked_for_is_noted() -> None:
    product = tool.read_product(tool.hold(recorded("clip.mp4")), "waves.mp4")
    film = {"type": "file", "id": "x", "url": "/files/x", "name": "waves.mp4", "content_type": "video/mp4"}
    used = {"seconds": 5.06, "frames": 81}
    same, _ = tool.report(made(product, used=used), [film], True, times=[tool.RunningTime(5.04, 81)])
    assert (same["seconds"], same["frames"], same["adjusted"]) == (5.06, 81, [])
    other, _ = tool.report(made(product, used=used), [film], True, times=[tool.RunningTime(1.0, 12)])
    assert (other["seconds"], other["frames"], other["adjusted"]) == (5.06, 81, ["the file plays 1 s, 12 frames"])


# --- a transparent background ---


@pytest.mark.parametrize(
    "prompt",
    [
        "Die-cut sticker of a panda, transparent background",
        "Remove the background and keep the cat",
        "a panda, background: transparent",
        "ein Panda mit transparentem Hintergrund",
        "un panda sur fond transparent",
        "un panda con fondo transparente",
        "um panda com fundo transparente",
        "背景を透明にしたパンダ",
        "透明背景的熊猫",
        "панда на прозрачном фоне",
        "a logo as a transparent PNG",
        "an icon without background",
        "remove_background",
    ],
)
def test_a_prompt_that_asks_for_a_transparent_background_is_known(prompt: str) -> None:
    assert tool.asks_for_transparency(prompt)


@pytest.mark.parametrize(
    "prompt",
    [
        "a transparent glass vase on a table",
        "replace the background with a beach",
        "a portrait with a plain white background",
        "",
    ],
)
def test_a_prompt_that_speaks_of_glass_or_of_another_background_is_not(prompt: str) -> None:
    assert not tool.asks_for_transparency(prompt)


async def test_an_opaque_picture_is_said_to_be_opaque_only_where_transparency_was_asked_for() -> None:
    opaque = tool.read_product(tool.hold(png((8, 8))), "a.png")
    see_through = tool.read_product(tool.hold(saved(holed(), "PNG")), "a.png")
    wanted = "a panda, transparent background"
    assert "opaque" in (await tool.opaque_note(wanted, [opaque]))[0]
    assert await tool.opaque_note(wanted, [see_through]) == ()
    assert await tool.opaque_note("a panda", [opaque]) == ()
    assert await tool.opaque_note(wanted, []) == ()


def test_what_goes_on_is_not_to_be_started_again() -> None:
    result, _ = tool.report(made(tool.read_product(tool.hold(png((8, 8))), "a.png"), running="0c6d"), stored(1), True)
    assert result["still_running"] == "0c6d"
    assert "do not start it again" in result["note"]


# --- few tokens ---


def numbered(count: int) -> tuple[tool.RunResult, list[dict[str, Any]], dict[str, int]]:
    """A run that made so many pictures, as Open WebUI stores them, and their numbers."""
    products = [tool.read_product(tool.hold(png((64, 48))), "a.png") for _ in range(count)]
    used = {"steps": 20, "guidance": 7.0, "size": "64x48"}
    files = [{**item, "id": str(uuid.uuid4())} for item in stored(count)]
    return made(*products, used=used), files, {item["id"]: place for place, item in enumerate(files, 1)}


@pytest.mark.parametrize(("count", "most"), [(1, 120), (4, 200)])
def test_pictures_are_told_of_in_few_tokens(count: int, most: int) -> None:
    run, files, numbers = numbered(count)
    result, _ = tool.report(run, files, True, numbers, worked_on=[1])
    assert tokens(result) <= most


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("A fox.\n\n- red\n- quick\n", "A fox.\n\n- red\n- quick"),
        ("a\tb\r\nc", "a\tb\r\nc"),
        ("\n    indented\n", "    indented"),
        ("x" * 4001, "x" * 3999 + "…"),
    ],
)
def test_a_text_is_told_with_its_line_breaks(text: str, told: str) -> None:
    result, _ = tool.report(made(texts=(text,)), [], True)
    assert result["text"] == [told]
