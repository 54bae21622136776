"""JSON that a person wrote is read as it was meant, and no text takes long to be read."""

import json
import time
from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.growth import grows_with_length_only

BY_HAND: list[tuple[str, Any]] = [
    ('{"a": 1, /* why */ "b": 2}', {"a": 1, "b": 2}),
    ('{"a": 1, // why\n "b": 2}', {"a": 1, "b": 2}),
    ('{"a": 1, // the last one', None),
    ('{"a": [1, 2, ], }', {"a": [1, 2]}),
    ('{"a": 1, /* one */ // two\n /* three */ }', {"a": 1}),
    ('{"a": [{}, /**/ /**/ ], /**/}', {"a": [{}]}),
    ('{"seed": %seed%, "steps": [%steps%,]}', {"seed": "%seed%", "steps": ["%steps%"]}),
    ('{"a": "%seed%, // no comment, /* nor this */ ,]",}', {"a": "%seed%, // no comment, /* nor this */ ,]"}),
    ('{"a": "say \\"hi\\",}", }', {"a": 'say "hi",}'}),
    ('{"a": "back\\\\", }', {"a": "back\\"}),
    ('{"a": 5 % 3}', None),
    ('{"a": 1,, }', None),
    ('{"a": 1, /* never closed }', None),
    ('{"a": "never closed, }', None),
]

# What used to take an exponential or a quadratic time, or might: each is repeated until it has the length asked for.
HOSTILE: list[tuple[str, str]] = [
    ('{"a": 1,', "/**/"),
    ('{"a": 1,', "//\n"),
    ('{"a": 1,', " \n"),
    ("", ",/**/"),
    ("", "/*"),
    ("", '"'),
    ('"', '\\"'),
    ('"', "\\\\"),
    ("", "%"),
    ("", "%a"),
    ("%", "a"),
    ("", "%a%,"),
    ("", "/"),
    ("", ", }"),
    ("", "```"),
    ("", "``` "),
    ("", "{\n"),
]


@pytest.mark.parametrize(("text", "value"), BY_HAND)
def test_json_written_by_hand_is_read_as_it_was_meant(text: str, value: Any) -> None:
    if value is None:
        with pytest.raises(tool.WorkflowRefused):
            tool.read_json(text)
    else:
        assert tool.read_json(text) == value


def test_what_is_json_already_stays_as_it_is() -> None:
    text = json.dumps({"a": ["%x%", "// y", "/* z */", 'q"', "\\", ",]"], "b": {}, "c": [1.5, None, True]}, indent=1)
    assert tool.tidied(text) == text


@pytest.mark.parametrize(("begin", "repeated"), HOSTILE)
def test_reading_takes_a_time_that_grows_with_the_length_only(begin: str, repeated: str) -> None:
    def read(text: str) -> None:
        with pytest.raises(tool.WorkflowRefused):
            tool.read_json(text)

    assert grows_with_length_only(read, repeated, begin)


def test_a_comma_before_sixty_comments_does_not_stop_open_webui() -> None:
    began = time.process_time()
    with pytest.raises(tool.WorkflowRefused):
        tool.read_json('{"a": 1,' + "/**/" * 60)
    assert time.process_time() - began < 5  # it is a matter of microseconds, and was one of years
