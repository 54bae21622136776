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


def test_an_entry_costs_the_same_however_many_are_kept() -> None:
    looked_at = 0

    def is_needed(_value: int) -> bool:
        nonlocal looked_at
        looked_at += 1
        return False

    remembered = tool.BoundedDict[int, int](1000, is_needed)
    for number in range(5000):
        remembered[number] = number
    assert 1000 <= len(remembered) <= 1100
    assert looked_at < 20 * 5000, "it goes through all of them with each new one"


def test_it_costs_the_same_however_many_are_needed() -> None:
    looked_at = 0

    def is_needed(value: int) -> bool:
        nonlocal looked_at
        looked_at += 1
        return value < 500

    remembered = tool.BoundedDict[int, int](1000, is_needed)
    for number in range(5000):
        remembered[number] = number
    assert 1500 <= len(remembered) <= 1600
    assert looked_at < 20 * 5000, "it goes through all of them with each new one"
