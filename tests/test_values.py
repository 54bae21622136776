"""Values as a model or a person writes them, before anything is known of the node that takes them."""

import pytest

import comfyui_tool as tool


@pytest.mark.parametrize("text", ["big", "12:", "0:5", "0x0", "0", "1", "1:100", "x512", "-5x5", "[512, 512]"])
def test_what_is_not_a_size_is_refused_with_what_would_do(text: str) -> None:
    with pytest.raises(tool.BadArgument) as error:
        tool.read_size(tool.Argument(text, "The argument size"))
    assert text in error.value.message
    assert ":" in error.value.hint
