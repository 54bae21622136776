"""The rows of the benchmark run at all. Nothing is timed: the numbers are tiny, and what they say means nothing."""

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.benchmark import chat, loading, storing
from tests.benchmark.__main__ import IN_OPEN_WEBUI, ROWS
from tests.benchmark.charts import write_charts
from tests.benchmark.growth import Full
from tests.benchmark.table import Line, as_table, in_turns, lines_of
from tests.support import ROOT
from tests.support.open_webui import OpenWebUI

TINY: Mapping[str, Mapping[str, Any]] = {
    "1": {"pictures": 1, "kilobytes": 5, "older": False, "stored": False},
    "3": {"counts": (2,), "servers": 1, "older": False},
    "5": {"nodes": 14, "workflows": 3, "calls": 1, "full": Full(2, 2, 2)},
    "6": {"jobs": 1, "steps": (0.0,)},
    "7": {"file": ROOT / "src" / "comfyui_chat" / "logs.py", "older": False, "installed": False},
    "8": {"side": 64, "small_side": 32, "megabytes": 1},
}


@pytest.mark.parametrize("row", TINY)
def test_a_row_runs_and_tells_what_it_measured(row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMFYUI_TEST_URL", raising=False)
    run: Callable[..., Iterator[Line]] = ROWS[row]
    lines = list(run(1, **TINY[row]))
    assert lines
    assert all(line.row.startswith(row) and math.isfinite(line.median) for line in lines)
    assert "this tool" in as_table(lines) or row in ("8",)


TINY_IN_OPEN_WEBUI: Mapping[str, tuple[Callable[..., Iterator[Line]], Mapping[str, Any]]] = {
    "1": (storing.lines, {"rounds": 1, "pictures": 1, "kilobytes": 5}),
    "2": (chat.seeing_lines, {"rounds": 1}),
    "7": (loading.lines_in_open_webui, {}),
    "4": (chat.paying_lines, {"rounds": 1, "steps": (2,), "step_seconds": 0.0}),
}


@pytest.mark.open_webui
@pytest.mark.parametrize("row", TINY_IN_OPEN_WEBUI)
def test_a_row_runs_in_open_webui(row: str, webui: OpenWebUI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMFYUI_TEST_URL", raising=False)
    run, tiny = TINY_IN_OPEN_WEBUI[row]
    lines = list(run(webui=webui, **tiny))
    assert {line.row[0] for line in lines} == {row}
    assert "this tool" in as_table(lines)


def test_every_row_is_tried() -> None:
    assert ROWS.keys() == TINY.keys() | TINY_IN_OPEN_WEBUI.keys()
    assert TINY_IN_OPEN_WEBUI.keys() == IN_OPEN_WEBUI


def test_contenders_take_turns_and_every_second_round_goes_backwards() -> None:
    order: list[str] = []

    def contender(name: str) -> Callable[[], Mapping[str, float]]:
        return lambda: order.append(name) or {"time": 1.0}  # type: ignore[func-returns-value]

    in_turns({"a": contender("a"), "b": contender("b")}, 3)
    assert order == ["a", "b", "b", "a", "a", "b"]


def test_a_line_tells_median_spread_ratio_and_whether_the_goal_is_met() -> None:
    results = {"floor": [{"time": 0.001}] * 3, "tool": [{"time": 0.001}, {"time": 0.002}, {"time": 0.003}]}
    floor, ours = lines_of("1", results, {"time": ("ms", 1000.0)}, {("tool", "time"): 1.3})
    assert floor.cells() == ["1, time", "floor", "1 ms", "1 to 1", "", "", ""]
    assert ours.cells() == ["1, time", "tool", "2 ms", "1 to 3", "2.00", "1.3", "NO"]


def test_charts_are_drawn_of_what_was_measured(tmp_path: Path) -> None:
    results = {"floor": [{"CPU": 0.001}], "this tool": [{"CPU": 0.002}]}
    lines = list(lines_of("3, 20 calls", results, {"CPU": ("ms", 1000.0)}))
    (path,) = write_charts(lines, tmp_path)
    drawn = path.read_text("utf-8")
    texts = [element.text for element in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]
    assert texts[1:] == ["20 calls, CPU", "floor", "1 ms", "this tool", "2 ms, 2.00 ×"]
    assert "prefers-color-scheme: dark" in drawn


def test_every_row_has_a_module_that_says_what_it_measures() -> None:
    folder = Path(str(ROOT)) / "tests" / "benchmark"
    for run in ROWS.values():
        module = folder / f"{run.__module__.rsplit('.', 1)[-1]}.py"
        assert "Row " in module.read_text("utf-8").split("\n", 1)[0]
