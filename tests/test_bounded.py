"""A dictionary that keeps only its newest entries."""

import comfyui_tool as tool


def test_the_oldest_entries_are_forgotten() -> None:
    remembered = tool.BoundedDict[str, int](2)
    for number, name in enumerate(("a", "b", "a", "c")):
        remembered[name] = number
    assert dict(remembered) == {"b": 1, "c": 3}


def test_what_is_needed_is_kept_and_does_not_count() -> None:
    remembered = tool.BoundedDict[int, bool](2, is_needed=bool)
    for number in range(6):
        remembered[number] = number == 0
    assert dict(remembered) == {0: True, 4: False, 5: False}
