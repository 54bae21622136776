"""Fair use: how many jobs a user has at once, and how long a queue is joined. Both are read from the servers, so that
all workers keep to one limit; on one server also when they post at the same moment."""

import asyncio
import contextlib
import json
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.runs import ANN, BOB, OTHER_PROCESS, QUICKER, draw, endpoints, record
from tests.support.stand_in import StandIn
from tests.support.watching import Watcher, until


@pytest.fixture
def comfy(quick_comfy: StandIn) -> StandIn:
    """A server that goes on sampling only when a test says so."""
    quick_comfy.misbehave.hold_at_step = 1
    return quick_comfy


@pytest.fixture
def pair(pair: tuple[StandIn, StandIn]) -> tuple[StandIn, StandIn]:
    """Two of them."""
    for server in pair:
        server.misbehave.hold_at_step = 1
    return pair


async def draw_within(*servers: StandIn, owner: tool.Owner = ANN, seed: int = 0, **limits: Any) -> tool.RunResult:
    """A small picture for a user, within these limits."""
    return await draw(*servers, owner=owner, seed=seed, limits=tool.Limits(**limits))


async def posted(comfy: StandIn, owner: tool.Owner | None = None, **mark: Any) -> str:
    """A job in the queue: of a user, by any worker, or of ComfyUI's own page."""
    prompt_id = str(uuid.uuid4())
    marked = {tool.MARK: {"mark": owner.mark(prompt_id), "at": time.time(), **mark}} if owner else {}
    return await comfy.post(comfy.example_graph(), prompt_id=prompt_id, extra_data=marked)


async def ends(run: "asyncio.Task[tool.Made]", *servers: StandIn) -> None:
    """Let the servers go on, and the run end well."""
    for server in servers:
        server.release()
    assert (await run).products


def at_work(*servers: StandIn) -> int:
    """How many jobs the servers have that run or wait."""
    return sum(len(server.running) + len(server.pending) for server in servers)


# --- jobs of one user at once ---


async def test_a_user_with_as_many_jobs_as_allowed_is_told_the_number_and_nothing_is_posted(comfy: StandIn) -> None:
    for _ in range(2):
        await posted(comfy, ANN)
    with pytest.raises(tool.LimitExceeded) as error:
        await draw_within(comfy, jobs=2)
    result = error.value.as_result()
    assert result["error"] == "The user has 2 jobs in the queue already, and the administrator allows 2 at once."
    assert result["hint"].startswith("Try again ")
    assert comfy.prompts == []


async def test_when_to_try_again_is_told_by_the_pace_and_the_jobs_before(comfy: StandIn) -> None:
    await posted(comfy)
    await posted(comfy, ANN)
    record(comfy).ran("checkpoint", 30.0)
    with pytest.raises(tool.LimitExceeded) as error:
        await draw_within(comfy, jobs=1)
    assert error.value.hint.startswith("Try again in about 60 s, ")


async def test_the_jobs_of_others_do_not_count(comfy: StandIn) -> None:
    for owner in (BOB, BOB, None, None, tool.Owner("ann", b"another Open WebUI")):
        await posted(comfy, owner)
    run = asyncio.create_task(draw_within(comfy, jobs=1))
    await until(lambda: comfy.prompts)
    await ends(run, comfy)


async def test_a_mark_copied_from_another_job_does_not_count(comfy: StandIn) -> None:
    theirs = await posted(comfy, ANN)
    await comfy.post(comfy.example_graph(), extra_data={tool.MARK: {"mark": ANN.mark(theirs)}})
    run = asyncio.create_task(draw_within(comfy, jobs=2))
    await until(lambda: comfy.prompts)
    await ends(run, comfy)


async def test_a_copy_with_the_mark_and_the_id_of_a_job_counts_no_second_time(pair: tuple[StandIn, StandIn]) -> None:
    prompt_id = await posted(pair[0], ANN)
    mark = {tool.MARK: {"mark": ANN.mark(prompt_id), "at": time.time()}}
    await pair[1].post(pair[1].example_graph(), prompt_id=prompt_id, extra_data=mark)
    fleet = tool.Fleet(tuple(endpoints(*pair)), tool.Limits(jobs=2), ANN, QUICKER)
    assert await fleet.in_order("")
    assert [prompt.prompt_id for _, prompt in (await tool.own_jobs(fleet)).jobs] == [prompt_id]


async def test_a_job_that_has_ended_does_not_count_when_somebody_posts_it_again(comfy: StandIn) -> None:
    comfy.release()
    ended = [await posted(comfy, ANN) for _ in range(2)]
    await until(lambda: all(prompt_id in comfy.history for prompt_id in ended))
    comfy.misbehave.hold_at_step = 1
    for prompt_id in ended:
        mark = {tool.MARK: {"mark": ANN.mark(prompt_id), "at": time.time()}}
        await comfy.post(comfy.example_graph(), prompt_id=prompt_id, extra_data=mark)
    fleet = tool.Fleet(tuple(endpoints(comfy)), tool.Limits(jobs=2), ANN, QUICKER)
    assert await fleet.in_order("")
    await posted(comfy, ANN)
    await posted(comfy, ANN)
    with pytest.raises(tool.LimitExceeded, match="has 2 jobs"):
        await fleet.in_order("")


def test_copies_in_one_queue_count_once() -> None:
    prompt = tool.Prompt("a", tool.Waiting(0), extra_data={tool.MARK: {"mark": ANN.mark("a")}})
    assert ANN.among(tool.Endpoint("http://x"), tool.Queue((), ("a",) * 3, (prompt,) * 3)) == [prompt]


MARKS = (None, 5, "x", [], {}, {"mark": None}, {"mark": ["x"]}, {"mark": "ü", "at": "soon"}, {"mark": "\ud800"})
MARKS += ({"mark": {"x": 5}}, {"mark": True, "at": 10**400})


@pytest.mark.parametrize("mark", MARKS, ids=range(len(MARKS)))
async def test_marks_of_any_shape_are_passed_over(comfy: StandIn, mark: Any) -> None:
    await comfy.post(comfy.example_graph(), extra_data={tool.MARK: mark})
    fleet = tool.Fleet(tuple(endpoints(comfy)), owner=ANN)
    assert await tool.own_jobs(fleet) == tool.OwnJobs([], [], [])
    run = asyncio.create_task(draw_within(comfy, jobs=1, queue=5))
    await until(lambda: comfy.prompts)
    await ends(run, comfy)


@pytest.mark.parametrize("at", [10**400, float("nan"), "soon", None], ids=["huge", "nan", "soon", "none"])
async def test_a_job_counts_whatever_its_mark_says_of_the_time(comfy: StandIn, at: Any) -> None:
    job = await posted(comfy, ANN, at=at, until=at)
    ((_, prompt),) = (await tool.own_jobs(tool.Fleet(tuple(endpoints(comfy)), owner=ANN))).jobs
    assert prompt.prompt_id == job
    with pytest.raises(tool.LimitExceeded, match="has 1 job"):
        await draw_within(comfy, jobs=1)


async def test_jobs_on_all_servers_are_counted_together(pair: tuple[StandIn, StandIn]) -> None:
    for server in pair:
        await posted(server, ANN)
    with pytest.raises(tool.LimitExceeded, match="has 2 jobs"):
        await draw_within(*pair, jobs=2)


async def test_jobs_on_servers_that_the_user_does_not_name_count_as_well(pair: tuple[StandIn, StandIn]) -> None:
    await posted(pair[0], ANN)
    everybodys = tool.Valves(endpoint=f"fast = {pair[0].url}, big = {pair[1].url}", max_jobs=1)
    settings = tool.resolve(everybodys, {"id": "ann", "valves": {"server": "big"}}, owner=ANN)
    wish = settings.request("a fox", workflow="checkpoint")
    with pytest.raises(tool.LimitExceeded, match="has 1 job"):
        await tool.make(wish, settings.fleet, Watcher())
    assert pair[1].prompts == []


async def test_jobs_on_a_server_that_rests_because_it_lost_one_count_as_well(pair: tuple[StandIn, StandIn]) -> None:
    await posted(pair[0], ANN)
    record(pair[0]).rest("it lost a job")
    with pytest.raises(tool.LimitExceeded, match="has 1 job"):
        await asyncio.wait_for(draw_within(*pair, jobs=1), 5)
    assert pair[1].prompts == []


async def test_a_user_may_go_on_as_soon_as_a_job_is_done(comfy: StandIn) -> None:
    run = asyncio.create_task(draw_within(comfy, jobs=1))
    await comfy.until_held()
    with pytest.raises(tool.LimitExceeded):
        await draw_within(comfy, jobs=1)
    await ends(run, comfy)
    assert (await draw_within(comfy, jobs=1, seed=1)).products


async def test_without_a_limit_any_number_of_jobs_may_wait(comfy: StandIn) -> None:
    runs = [asyncio.create_task(draw_within(comfy, seed=seed, jobs=0)) for seed in range(8)]
    await until(lambda: len(comfy.prompts) == 8)
    comfy.release()
    assert all(made.products for made in await asyncio.gather(*runs))


@pytest.mark.parametrize("limit", [1, 3])
async def test_of_calls_at_the_same_moment_as_many_as_allowed_go_on(comfy: StandIn, limit: int) -> None:
    runs = [asyncio.create_task(draw_within(comfy, seed=seed, jobs=limit)) for seed in range(6)]
    await until(lambda: sum(run.done() for run in runs) == 6 - limit)
    assert len(comfy.running) + len(comfy.pending) == limit
    comfy.release()
    made = await asyncio.gather(*runs, return_exceptions=True)
    assert sum(isinstance(one, tool.RunResult) for one in made) == limit
    assert sum(isinstance(one, tool.LimitExceeded) for one in made) == 6 - limit
    assert len(comfy.history) == limit, "what was withdrawn has never run"


async def test_the_later_one_of_two_posts_withdraws_and_leaves_the_other_alone(comfy: StandIn) -> None:
    """The other worker's post arrives between this one's look at the queue and its own post."""
    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        other: list[str] = []
        submit = server.submit

        async def overtaken(*arguments: Any) -> tool.Accepted:
            other.append(await posted(comfy, ANN))
            return await submit(*arguments)

        server.submit = overtaken  # type: ignore[method-assign]
        with pytest.raises(tool.LimitExceeded, match="has 1 job in the queue already"):
            await draw_within(comfy, jobs=1)
    assert comfy.running + comfy.pending == other
    assert len(comfy.prompts) == 1


async def test_the_earlier_one_of_two_posts_goes_on_whatever_the_clocks_say(comfy: StandIn) -> None:
    run = asyncio.create_task(draw_within(comfy, jobs=1))
    await comfy.until_held()
    await posted(comfy, ANN, at=0.0)  # by a worker whose clock is late
    await asyncio.sleep(0.3)
    assert not run.done()
    await ends(run, comfy)


# --- a call is let in before anything of it is read ---


def fleet_of(*servers: StandIn, owner: tool.Owner = ANN, jobs: int = 1) -> tool.Fleet:
    """What a call of this user runs on."""
    return tool.Fleet(tuple(endpoints(*servers)), tool.Limits(jobs=jobs), owner, QUICKER)


async def test_a_call_under_way_counts_before_its_job_is_posted(comfy: StandIn) -> None:
    async with fleet_of(comfy).admission():
        with pytest.raises(tool.LimitExceeded, match="has 1 job under way already"):
            async with fleet_of(comfy).admission():
                pass
        async with fleet_of(comfy, owner=BOB).admission():
            pass
    async with fleet_of(comfy).admission():
        pass


async def test_a_call_and_its_own_job_count_as_one(comfy: StandIn) -> None:
    async with fleet_of(comfy, jobs=2).admission():
        run = asyncio.create_task(draw_within(comfy, jobs=2))
        await comfy.until_held()
        async with fleet_of(comfy, jobs=2).admission():
            with pytest.raises(tool.LimitExceeded, match="has 2 jobs under way"):
                async with fleet_of(comfy, jobs=2).admission():
                    pass
        await ends(run, comfy)


async def test_jobs_that_no_call_of_this_process_follows_count_beside_the_calls(comfy: StandIn) -> None:
    await posted(comfy, ANN)
    async with fleet_of(comfy, jobs=2).admission():
        with pytest.raises(tool.LimitExceeded, match="has 2 jobs under way"):
            async with fleet_of(comfy, jobs=2).admission():
                pass


async def test_of_calls_that_begin_at_the_same_moment_as_many_as_allowed_are_let_in(comfy: StandIn) -> None:
    leave = asyncio.Event()

    async def call() -> None:
        async with fleet_of(comfy, jobs=3).admission():
            await leave.wait()

    calls = [asyncio.create_task(call()) for _ in range(8)]
    await until(lambda: sum(one.done() for one in calls) == 5)
    assert [one.done() for one in calls] == [False] * 3 + [True] * 5
    leave.set()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(outcome, tool.LimitExceeded) for outcome in outcomes) == 5


async def test_a_user_over_the_limit_is_refused_before_a_file_is_read_or_sent(
    comfy: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    await posted(comfy, ANN)

    async def settle(*_: Any) -> tool.Settings:
        return tool.resolve(tool.Valves(endpoint=comfy.url, max_jobs=1), {"id": "ann"}, owner=ANN)

    async def read_file(*_: Any) -> tuple[str, bytes]:
        raise AssertionError("a file was read")

    monkeypatch.setattr(tool, "settle", settle)
    monkeypatch.setattr(tool.Chat, "read_file", read_file)
    picture = "data:image/png;base64,AAAA"
    for call in (
        tool.Tools().edit_image("a fox", [picture], mask=picture),
        tool.Tools().upscale_image(picture),
        tool.Tools().run_workflow("attached", images=[picture]),
        tool.Tools().generate_image("a fox", workflow="attached"),
    ):
        assert '"code":"limit_exceeded"' in str(await call)
    assert comfy.uploads == []


async def test_a_call_that_is_stopped_or_fails_is_under_way_no_longer(comfy: StandIn) -> None:
    for error in (asyncio.CancelledError(), tool.BadArgument("x"), KeyError("x")):
        with pytest.raises(type(error)):
            async with fleet_of(comfy).admission():
                raise error
    async with fleet_of(comfy).admission():
        pass


# --- the same on several servers, where no common number says who was first ---


async def in_queue(comfy: StandIn, fleet: tool.Fleet, at: float) -> tuple[tool.Fleet, tool.Endpoint, str, float]:
    """A job of the fleet's user that was posted at this time: what `admitted` takes."""
    prompt_id = await posted(comfy, ANN, at=at)
    return fleet, tool.Endpoint(comfy.url), prompt_id, at


async def admitted(job: tuple[tool.Fleet, tool.Endpoint, str, float]) -> bool:
    """Whether a job may stay in the queue."""
    fleet, *where_and_when = job
    try:
        await fleet.admit(*where_and_when)
    except tool.LimitExceeded:
        return False
    return True


async def test_of_posts_on_two_servers_the_one_with_the_earlier_mark_goes_on(pair: tuple[StandIn, StandIn]) -> None:
    fleet = tool.Fleet(tuple(endpoints(*pair)), tool.Limits(jobs=1), ANN, QUICKER)
    now = time.time()
    jobs = [await in_queue(pair[0], fleet, now + 0.01), await in_queue(pair[1], fleet, now)]
    assert [await admitted(job) for job in jobs] == [False, True]


async def test_a_post_on_a_server_that_rests_is_counted_there_all_the_same(pair: tuple[StandIn, StandIn]) -> None:
    fleet = tool.Fleet(tuple(endpoints(*pair)), tool.Limits(jobs=1), ANN, QUICKER)
    now = time.time()
    await posted(pair[0], ANN, at=now)
    later = await in_queue(pair[0], fleet, now + 0.01)
    record(pair[0]).rest("it did not answer", silent=True)
    assert not await admitted(later)


@pytest.mark.parametrize("limit", [1, 2])
async def test_posts_that_overtook_each_other_on_the_way_still_leave_as_many_as_allowed(
    pair: tuple[StandIn, StandIn], limit: int
) -> None:
    """The numbers of one server say the opposite of the marks, and a post on the other lies between them."""
    fleet = tool.Fleet(tuple(endpoints(*pair)), tool.Limits(jobs=limit), ANN, QUICKER)
    now = time.time()
    jobs = [
        await in_queue(pair[0], fleet, now + 0.02),
        await in_queue(pair[0], fleet, now),
        await in_queue(pair[1], fleet, now + 0.01),
    ]
    assert sum([await admitted(job) for job in jobs]) == limit


async def test_of_calls_at_the_same_moment_on_two_servers_no_fewer_than_allowed_go_on(
    pair: tuple[StandIn, StandIn],
) -> None:
    """One too many is no harm: two that post on different servers need not be in sight of each other."""
    orders = [pair, pair[::-1]] * 3
    runs = [asyncio.create_task(draw_within(*order, seed=seed, jobs=2)) for seed, order in enumerate(orders)]
    await until(lambda: sum(run.done() for run in runs) >= 1)
    await until(lambda: at_work(*pair) == sum(not run.done() for run in runs))
    for server in pair:
        server.release()
    made = await asyncio.gather(*runs, return_exceptions=True)
    assert sum(isinstance(one, tool.RunResult) for one in made) >= 2
    assert all(isinstance(one, (tool.RunResult, tool.LimitExceeded)) for one in made)


# --- two workers: real processes that post at the same moment ---

WORKER = """
async def draw(urls, limit, seed):
    owner = tool.Owner("ann", b"the secret of this Open WebUI")
    fleet = tool.Fleet(tuple(tool.Endpoint(url) for url in urls), tool.Limits(jobs=limit), owner)
    try:
        await tool.make(small_wish(seed), fleet, Nobody(), tool.RunOptions(previews=False))
    except tool.LimitExceeded:
        return "refused"
    return "made"

async def main():
    for line in iter(lambda: sys.stdin.readline(), ""):
        told = json.loads(line)
        while time.time() < told["at"]:
            pass
        print(await draw(told["urls"], told["limit"], told["seed"]), flush=True)

asyncio.run(main())
"""


class Worker:
    """A process with an Open WebUI's worth of the tool."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.said: asyncio.Task[bytes] | None = None

    def draw(self, servers: tuple[StandIn, ...], limit: int, seed: int, at: float) -> None:
        told = {"urls": [server.url for server in servers], "limit": limit, "seed": seed, "at": at}
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(told).encode() + b"\n")
        self.said = asyncio.create_task(self._process.stdout.readline())

    @property
    def outcome(self) -> str:
        """What became of it: "made", "refused", or "" while it is at work."""
        return self.said.result().decode().strip() if self.said and self.said.done() else ""


@contextlib.asynccontextmanager
async def working(count: int) -> AsyncIterator[list[Worker]]:
    """Several workers of one Open WebUI."""
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", OTHER_PROCESS + WORKER),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(tool.__file__).parent,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        for _ in range(count)
    ]
    try:
        yield [Worker(process) for process in processes]
    finally:
        for process in processes:
            if process.stdin:
                process.stdin.close()
        await asyncio.wait_for(asyncio.gather(*(process.wait() for process in processes)), 10)


@pytest.mark.real_clock
@pytest.mark.parametrize(("servers", "rounds"), [(1, 15), (2, 6)])
async def test_workers_that_post_at_the_same_moment_keep_to_one_limit_and_one_always_runs(
    pair: tuple[StandIn, StandIn], servers: int, rounds: int
) -> None:
    """On two servers both may run: one too many is no harm."""
    used = pair[:servers]
    async with working(2) as workers:
        for worker in workers:  # warm, so that they are equally quick
            worker.draw(used, 0, 1000, 0.0)
        await until(lambda: sum(len(server.prompts) for server in used) == 2)
        for server in used:
            server.release()
        await until(lambda: all(worker.outcome for worker in workers))
        raced = number = 0
        while number < rounds or raced < rounds / 4:  # they have to get in each other's way for this to say anything
            number += 1
            assert number <= 10 * rounds, f"{raced} of {number} times they posted at the same moment"
            for server in used:
                server.prompts.clear()
                server.misbehave.hold_at_step = 1
            at = time.time() + 0.03
            for index, worker in enumerate(workers):
                worker.draw(used[:: 1 - 2 * index], 1, number, at)
            if servers == 1:
                await until(lambda: any(worker.outcome for worker in workers))
                assert [worker.outcome for worker in workers if worker.outcome] == ["refused"]
                await until(lambda: at_work(*used) == 1)
                assert sum(bool(worker.outcome) for worker in workers) == 1
                assert sum(len(server.running) for server in used) == 1
            else:
                await until(lambda: at_work(*used) + sum(bool(worker.outcome) for worker in workers) == 2)
            raced += sum(len(server.prompts) for server in used) == 2
            for server in used:
                server.release()
            await until(lambda: all(worker.outcome for worker in workers))
            outcomes = sorted(worker.outcome for worker in workers)
            assert outcomes == ["made", "refused"] or (servers > 1 and outcomes == ["made", "made"])


# --- the longest queue that is joined ---


async def test_a_queue_that_is_too_long_is_not_joined_and_the_message_has_the_numbers(comfy: StandIn) -> None:
    for _ in range(3):
        await posted(comfy)
    with pytest.raises(tool.LimitExceeded) as error:
        await draw_within(comfy, queue=3)
    assert error.value.message == (
        "3 jobs wait in the queue, and the administrator allows joining one of fewer than 3."
    )
    assert error.value.hint.startswith("Try again in about 10 s")
    assert comfy.prompts == []


async def test_a_shorter_queue_on_another_server_is_joined(pair: tuple[StandIn, StandIn]) -> None:
    for _ in range(2):
        await posted(pair[0])
    record(pair[1]).ran("checkpoint", 3600.0)
    run = asyncio.create_task(draw_within(*pair, queue=2))
    await until(lambda: pair[1].prompts)
    assert not pair[0].prompts
    await ends(run, *pair)


async def test_of_two_posts_into_the_last_place_the_later_one_withdraws(comfy: StandIn) -> None:
    runs = [asyncio.create_task(draw_within(comfy, owner=owner, queue=1)) for owner in (ANN, BOB)]
    await until(lambda: any(run.done() for run in runs))
    assert len(comfy.running) + len(comfy.pending) == 1
    comfy.release()
    made = await asyncio.gather(*runs, return_exceptions=True)
    assert sorted(type(one).__name__ for one in made) == ["LimitExceeded", "RunResult"]


# --- the administrator's valves ---


@pytest.mark.parametrize(
    ("valve", "stored", "limit", "held"),
    [
        ("max_jobs", 2, "jobs", 2),
        ("max_jobs", 0, "jobs", 0),
        ("max_jobs", -3, "jobs", 0),
        ("max_jobs", 10**6, "jobs", 1000),
        ("max_jobs", "many", "jobs", 4),
        ("max_queue", 20, "queue", 20),
        ("max_queue", -1, "queue", 0),
        ("max_queue", None, "queue", 0),
        ("max_wait_minutes", 2, "wait_seconds", 120.0),
        ("max_wait_minutes", 0, "wait_seconds", 6.0),
        ("max_wait_minutes", 10**6, "wait_seconds", 86400.0),
        ("max_video_seconds", 5, "video_seconds", 5.0),
        ("max_steps", 0, "steps", 1),
        ("max_megapixels", 1000, "megapixels", 256),
    ],
)
def test_a_limit_is_what_the_valve_says_within_what_makes_sense(
    valve: str, stored: Any, limit: str, held: float
) -> None:
    assert getattr(tool.resolve(tool.Valves(**{valve: stored}), None).limits, limit) == held
