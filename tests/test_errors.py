"""Every error has a code of its own, and says what it means and what to do."""

import comfyui_tool as tool
from tests.support.contract import all_errors


def test_every_error_has_a_code_of_its_own_and_a_sentence_about_it() -> None:
    errors = all_errors()
    assert len({error.code for error in errors}) == len(errors) > 15
    assert all((error.__doc__ or "").strip().endswith(".") for error in errors)


def test_every_error_that_the_tool_raises_tells_what_to_do() -> None:
    base_only = {tool.ServerError, tool.EndpointRefused}  # the hint is given where it is raised
    for error in set(all_errors()) - base_only - {tool.StillRunning, tool.RunFailed}:
        assert error("x").as_result()["hint"], error.code
