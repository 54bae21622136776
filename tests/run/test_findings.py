"""What is found out about a prompt: once for all that differ in their words and their seed alone."""

from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.graphs import defined, encoder, node, sampler, text_to_image


def parsed(graph: Any = None) -> tool.Workflow:
    return tool.Workflow.parse("x", graph or text_to_image(), defined())


def found(workflow: tool.Workflow, limits: tool.Limits | None = None, **values: Any) -> tool.Finding:
    """What is found out about a prompt with these values."""
    choice = tool.FittedWorkflow(workflow, tool.AS_SAVED, "", from_user=True)
    touched = frozenset(target for name in values for target in workflow.find(name) or ())
    return tool.find_out(choice, workflow.bind(values), limits or tool.Limits(), touched)


def test_prompts_that_differ_in_words_and_seed_are_worked_out_once() -> None:
    workflow = parsed()
    first = found(workflow, prompt="a fox", seed=1)
    assert found(workflow, prompt="a hare, 9000 x 9000", seed=2) is first
    assert found(parsed(), prompt="a fox", seed=1) is not first, "another workflow's"


@pytest.mark.parametrize("changed", [{"width": 512}, {"steps": 5}, {"guidance": 3.5}])
def test_any_other_value_is_worked_out_anew(changed: dict[str, Any]) -> None:
    workflow = parsed()
    first = found(workflow, prompt="a fox", seed=1)
    again = found(workflow, prompt="a fox", seed=1, **changed)
    assert again is not first
    assert again.used != first.used


def test_what_was_within_the_limits_is_no_longer_when_they_are_lower() -> None:
    workflow = parsed()
    found(workflow, prompt="a fox", seed=1)
    with pytest.raises(tool.LimitExceeded, match="steps"):
        found(workflow, tool.Limits(steps=2), prompt="a fox", seed=1)


def test_words_that_become_a_number_are_counted() -> None:
    latent = node("EmptyLatentImage", width=("read", 0), height=512, batch_size=1)
    reads = node("StringToInt", text=("words", 0))
    words = node("PrimitiveString", value="512")
    workflow = parsed(text_to_image(latent=latent, read=reads, words=words, good=encoder(("words", 0))))
    assert workflow.find("prompt") == (tool.Target("words", "value"),)
    found(workflow, prompt="512", seed=1)
    with pytest.raises(tool.LimitExceeded, match="megapixels"):
        found(workflow, prompt="65000", seed=1)


def test_a_seed_that_is_also_a_size_is_counted() -> None:
    latent = node("EmptyLatentImage", width=("number", 0), height=512, batch_size=1)
    number = node("PrimitiveInt", value=512)
    workflow = parsed(text_to_image(latent=latent, number=number, sampler=sampler(seed=("number", 0))))
    found(workflow, seed=512)
    with pytest.raises(tool.LimitExceeded, match="megapixels"):
        found(workflow, seed=65000)


def test_no_more_is_kept_than_some_kinds_of_prompts() -> None:
    workflow = parsed()
    for width in range(512, 1024, 8):
        found(workflow, width=width)
    assert len(workflow.kept[tool.PLACE]) == tool.REMEMBERED_FINDINGS


def test_the_text_that_was_chosen_out_of_a_saved_prompt_is_told_each_time() -> None:
    workflow = parsed()
    choice = tool.FittedWorkflow(workflow, tool.AS_SAVED, "", from_user=True)
    told = []
    for text in ("a red fox", "a blue fox", "a red fox"):
        bound = workflow.bind({"prompt": text})
        told.append(tool.find_out(choice, bound, tool.Limits(), frozenset()).used["prompt"])
    assert [("red" in line, "blue" in line) for line in told] == [(True, False), (False, True), (True, False)]
