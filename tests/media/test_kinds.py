"""What a file is: its content type, its size in pixels and whether it moves, told by its bytes and then by its name."""

from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.samples import KINDS


@pytest.mark.parametrize(("data", "name", "kind"), KINDS, ids=[f"{name} {kind[0]}" for _, name, kind in KINDS])
def test_a_file_is_what_its_bytes_say_and_then_its_name(data: bytes, name: str, kind: Any) -> None:
    assert tool.content_type_of(data, name) == kind
