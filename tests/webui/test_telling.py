"""How much a model is told by one call: as much as it can read, and where there is more, that there is."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import comfyui_tool as tool

MOST = tool.MOST_TOLD_CHARACTERS


def test_an_answer_that_is_short_stays_as_it_is() -> None:
    answer = {"status": "done", "images": [{"id": "a", "number": 1}], "seed": 7, "note": None, "shown": True}
    assert tool.brief(answer) == answer


def test_of_a_long_text_whole_words_are_told() -> None:
    told = tool.brief({"status": "done", "text": "http://gpu:8188 " * MOST})["text"]
    assert told.endswith("http://gpu:8188 … (cut)")
    assert MOST - 100 < len(told) < MOST + 100


def test_of_a_long_list_it_is_told_how_much_is_left_out() -> None:
    told = tool.brief({"status": "done", "names": ["ten signs."] * MOST})["names"]
    assert told[-1] == f"… {MOST - len(told) + 1} more"


def test_of_a_long_object_it_is_told_how_much_is_left_out() -> None:
    told = tool.brief({"inputs": {str(number): "INT" for number in range(MOST)}})["inputs"]
    assert told["…"] == f"{MOST - len(told) + 1} more"


def test_pictures_for_the_model_are_no_texts() -> None:
    copies = ["data:image/webp;base64," + "A" * MOST] * 4
    assert tool.brief({"status": "done", "copies": copies, "seed": 7}) == {
        "status": "done",
        "copies": copies,
        "seed": 7,
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=30,
)


@given(st.dictionaries(st.text().filter(lambda name: name != "copies"), JSON), st.integers(1, 60))
@settings(max_examples=50, deadline=None)
def test_any_answer_is_cut_to_the_bound(answer: dict[str, Any], most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tool, "MOST_TOLD_CHARACTERS", most)
        texts = "".join(texts_in(tool.brief(answer)))
    assert len(texts) <= most + 60 * (1 + json.dumps(answer).count("[") + json.dumps(answer).count("{"))


def texts_in(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    items = [*value.keys(), *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for item in items for text in texts_in(item)]
