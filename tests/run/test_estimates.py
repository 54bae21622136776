"""How long a run is expected to take, and what becomes of one about which the user is asked."""

import asyncio
from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.pictures import opened
from tests.support.runs import make
from tests.support.stand_in import StandIn


@pytest.mark.parametrize(
    ("used", "pictures", "work"),
    [
        ({}, 1, 1.0),
        ({"steps": 20}, 1, 20.0),
        ({"size": "1000x1000", "steps": 20}, 1, 20.0),
        ({"size": "500x1000", "steps": 20}, 4, 40.0),
        ({"size": "1000x1000", "steps": 10, "frames": 81}, 1, 810.0),
        ({"size": "16:9", "steps": "many"}, 0, 1.0),
    ],
)
def test_work_grows_with_steps_pixels_frames_and_pictures(used: dict[str, Any], pictures: float, work: float) -> None:
    assert tool.work_of(used, pictures) == pytest.approx(work)


def test_a_run_of_twice_the_work_is_expected_to_take_twice_as_long() -> None:
    record = tool.Record()
    record.ran("wan", 60.0, work=10.0)
    run = tool.expected_run(record, "wan", {"size": "1280x720"}, [10.0, 10.0])
    assert run == tool.LongRun("wan", 120.0, tool.Size(912, 512))


def test_nothing_is_expected_of_a_workflow_that_never_ran() -> None:
    assert tool.expected_run(tool.Record(), "wan", {}, [10.0]) is None


class User:
    """Somebody who is asked, and answers always the same; None is nobody."""

    def __init__(self, answer: str | None) -> None:
        self.answer = answer
        self.asked: list[tool.LongRun] = []

    @property
    def long_runs(self) -> tool.LongRuns:
        """What has this user asked about every run."""
        return tool.LongRuns(0.0, self.ask)

    async def ask(self, run: tool.LongRun) -> str | None:
        self.asked.append(run)
        if self.answer == "sleeps":
            await asyncio.sleep(3600)
        return self.answer


ANSWERS = [
    ("run", (512, 384), "the user chose to run it"),
    ("smaller", (368, 272), "the user chose 368x272 instead"),
    (None, (512, 384), "did not answer, and so it ran"),
    ("sleeps", (512, 384), "did not answer, and so it ran"),
]


@pytest.mark.parametrize(("answer", "size", "note"), ANSWERS)
async def test_a_long_run_is_made_as_the_user_says(
    comfy: StandIn, answer: str | None, size: tuple[int, int], note: str
) -> None:
    await make(comfy, size="512x384", seed=1)
    user = User(answer)
    made = await make(comfy, size="512x384", seed=2, long_runs=user.long_runs)
    assert [run.workflow for run in user.asked] == ["checkpoint"]
    assert [opened(picture).size for picture in made.products] == [size]
    assert any(note in line for line in made.notes)


async def test_a_run_that_the_user_does_not_want_is_not_posted(comfy: StandIn) -> None:
    await make(comfy, seed=1)
    with pytest.raises(tool.RunDeclined, match="chose not to run it"):
        await make(comfy, seed=2, long_runs=User("cancel").long_runs)
    assert len(comfy.prompts) == 1


async def test_nobody_is_asked_about_a_run_that_is_short_enough(comfy: StandIn) -> None:
    await make(comfy, seed=1)
    user = User("cancel")
    await make(comfy, seed=2, long_runs=tool.LongRuns(600.0, user.ask))
    assert not user.asked


async def test_nobody_is_asked_about_the_first_run_of_a_workflow(comfy: StandIn) -> None:
    user = User("cancel")
    await make(comfy, seed=1, long_runs=user.long_runs)
    assert not user.asked


async def test_a_call_asks_once_however_many_pictures_it_makes(comfy: StandIn) -> None:
    await make(comfy, seed=1)
    user = User("run")
    made = await make(comfy, seed=2, count=3, long_runs=user.long_runs)
    assert len(made.products) == 3
    assert len(user.asked) == 1
