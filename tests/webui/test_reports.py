"""What the model is told of a call: short, whole, and in the one shape that Open WebUI passes on as it is."""

import json
from typing import Any

import pytest

import comfyui_tool as tool


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
