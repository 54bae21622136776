"""A job that outlived its call is found again, by its user alone, waited for, and brought."""

import asyncio
import dataclasses
import re
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.pictures import opened
from tests.support.runs import ANN, BOB, KEY, NOBODY, QUICKER, Shelf, Stored, done, endpoints, make, orphan, record
from tests.support.stand_in import StandIn
from tests.support.watching import Watcher, until


@pytest.fixture
async def comfy() -> AsyncIterator[StandIn]:
    """A server of the newer release alone, with previews."""
    async with StandIn(step_seconds=0.01, preview_method="auto") as server:
        yield server
        await tool.close_servers()


def fleet(*servers: StandIn | str, user: str = "ann", key: bytes = KEY) -> tool.Fleet:
    """What any worker makes of a call of this user: nothing is shared with other calls but the key."""
    return tool.Fleet(tuple(endpoints(*servers)), tool.Limits(), tool.Owner(user, key), QUICKER)


async def begin(comfy: StandIn, user: str = "ann", **arguments: Any) -> str:
    """A call whose wait is over while ComfyUI is still at work; the id that it tells."""
    comfy.misbehave.hold_at_step = 1
    limits, owner = tool.Limits(wait_seconds=0.3), tool.Owner(user, KEY)
    asked = {"prompt": "a fox", "size": "64x96", "seed": 7, **arguments}
    with pytest.raises(tool.StillRunning) as still:
        await make(comfy, limits=limits, timing=QUICKER, owner=owner, **asked)
    return still.value.job_id


async def check(comfy: StandIn, shelf: Shelf, job_id: str = "", cancel: bool = False) -> dict[str, Any]:
    """What check_job answers to a call of another worker."""
    where = tuple(endpoints(comfy))
    settings = tool.Settings(where, tool.Limits(), True, {}, owner=ANN, timing=QUICKER)
    return (await tool.check_jobs(shelf, tool.Display(None, (), False), settings, job_id, cancel))[0]


# --- the wait ---


async def test_a_wait_that_is_over_is_not_a_failure_and_tells_the_id_and_what_to_do(comfy: StandIn) -> None:
    comfy.misbehave.hold_at_step = 1
    with pytest.raises(tool.StillRunning) as still:
        await make(comfy, wish=tool.Request("a fox"), limits=tool.Limits(wait_seconds=0.2), timing=QUICKER)
    result = still.value.as_result()
    assert (result["status"], result["code"], result["job_id"]) == ("running", "still_running", comfy.running[0])
    assert "error" not in result
    assert "check_job" in result["note"]
    comfy.release()


# --- by its id, from any worker ---


async def test_any_worker_brings_the_job_with_all_that_its_own_call_would_have_told(comfy: StandIn) -> None:
    job_id = await begin(comfy)
    await done(comfy, job_id)
    other = fleet(comfy)
    made = await tool.bring(other, *await tool.find_job(other, job_id), Watcher())
    (product,) = made.products
    assert opened(product).size == (64, 96)
    assert (made.seed, made.model, made.workflow) == (7, "sd_xl_base_1.0.safetensors", "checkpoint")
    assert product.prompt_id == job_id


async def test_a_job_is_found_on_whichever_server_has_it(comfy: StandIn) -> None:
    job_id = await begin(comfy)
    async with StandIn() as other:
        endpoint, prompt = await tool.find_job(fleet(other, comfy), job_id)
    assert (endpoint.url, prompt.prompt_id) == (comfy.url, job_id)
    comfy.release()


@pytest.mark.parametrize(("user", "key"), [("bob", KEY), ("", KEY), ("ann", b"another Open WebUI")])
async def test_nobody_but_the_user_who_started_it_finds_a_job(comfy: StandIn, user: str, key: bytes) -> None:
    job_id = await begin(comfy)
    for _ in range(2):  # while it runs, and when it is done
        with pytest.raises(tool.UnknownJob):
            await tool.find_job(fleet(comfy, user=user, key=key), job_id)
        await done(comfy, job_id)


async def test_a_job_of_comfyuis_own_page_belongs_to_nobody(comfy: StandIn) -> None:
    job_id = await comfy.post(comfy.example_graph())
    with pytest.raises(tool.UnknownJob):
        await tool.find_job(fleet(comfy), job_id)


async def test_a_signature_that_is_not_proper_text_finds_no_job(comfy: StandIn) -> None:
    with pytest.raises(tool.UnknownJob):
        await tool.find_job(fleet(comfy), f"{uuid.uuid4()}.\ud800")


@pytest.mark.parametrize("job_id", ["fox", "../../history", "1234", "x" * 10_000, "' or 1=1"])
async def test_what_is_not_an_id_is_refused_as_such(comfy: StandIn, job_id: str) -> None:
    with pytest.raises(tool.BadArgument, match="job_id"):
        await tool.find_job(fleet(comfy), job_id)
    assert not comfy.requests


async def test_an_id_is_taken_as_models_write_it(comfy: StandIn) -> None:
    job_id = await begin(comfy)
    assert (await tool.find_job(fleet(comfy), f" {job_id.upper()}\n"))[1].prompt_id == job_id
    comfy.release()


async def test_a_job_that_a_silent_server_may_have_is_not_said_to_be_unknown(comfy: StandIn) -> None:
    with pytest.raises(tool.ServerUnreachable, match='and "ComfyUI" does not'):
        await tool.find_job(fleet(comfy, NOBODY), str(uuid.uuid4()))


async def test_a_server_that_restarted_knows_the_job_no_more(comfy: StandIn) -> None:
    job_id = await begin(comfy)
    await comfy.restart()
    with pytest.raises(tool.UnknownJob):
        await tool.find_job(fleet(comfy), job_id)


# --- waiting for it ---


async def test_a_job_at_work_is_waited_for_and_how_it_stands_is_shown(comfy: StandIn) -> None:
    job_id = await begin(comfy, steps=10)
    watcher, here = Watcher(), fleet(comfy)
    endpoint, prompt = await tool.find_job(here, job_id)
    run = asyncio.create_task(tool.bring(here, endpoint, prompt, watcher))
    await until(lambda: watcher.seen)
    comfy.release()
    assert (await run).products
    assert watcher.phases[0] in ("loading", "running")
    assert watcher.phases[-1] == "saving"


async def test_a_job_that_takes_longer_than_the_call_waits_goes_on(comfy: StandIn) -> None:
    job_id = await begin(comfy)
    here = fleet(comfy)
    with pytest.raises(tool.StillRunning) as still:
        await tool.bring(here, *await tool.find_job(here, job_id), Watcher(), wait=0.2)
    assert still.value.job_id == job_id
    assert comfy.running == [job_id]
    await done(comfy, job_id)


async def test_a_stop_while_it_is_waited_for_ends_only_the_waiting(comfy: StandIn) -> None:
    job_id = await begin(comfy)
    watcher, here = Watcher(), fleet(comfy)
    run = asyncio.create_task(tool.bring(here, *await tool.find_job(here, job_id), watcher))
    await until(lambda: watcher.seen)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert (comfy.running, comfy.interrupts, comfy.deleted) == ([job_id], [], [])
    await done(comfy, job_id)
    assert (await tool.bring(here, *await tool.find_job(here, job_id), Watcher())).products


async def test_a_job_that_another_call_is_following_is_left_to_it(comfy: StandIn) -> None:
    comfy.misbehave.hold_at_step = 1
    here = fleet(comfy)
    own = asyncio.create_task(make(comfy, wish=tool.Request("a fox"), timing=QUICKER, owner=ANN))
    await comfy.until_held()
    with pytest.raises(tool.StillRunning, match="Another call"):
        await tool.bring(here, *await tool.find_job(here, comfy.running[0]), Watcher())
    comfy.release()
    assert (await own).products


async def test_what_a_job_failed_of_is_told_when_it_is_asked_for(comfy: StandIn) -> None:
    job_id = await begin(comfy)
    comfy.misbehave.fail_node = {"VAEDecode": ("RuntimeError", "no good")}
    await done(comfy, job_id)
    here = fleet(comfy)
    with pytest.raises(tool.NodeFailed, match="no good"):
        await tool.bring(here, *await tool.find_job(here, job_id), Watcher())


async def test_a_second_call_for_a_job_whose_files_are_being_stored_is_told_that_it_is_under_way(
    comfy: StandIn,
) -> None:
    job_id = await orphan(comfy, ANN)
    shelf = Shelf([])
    shelf.opened.clear()
    first = asyncio.create_task(check(comfy, shelf, job_id))
    await shelf.reached.wait()
    with pytest.raises(tool.StillRunning, match="Another call"):
        await check(comfy, Shelf(shelf.stored), job_id)
    shelf.opened.set()
    assert len((await first)["images"]) == len(shelf.stored) == 1
    again = await check(comfy, Shelf(shelf.stored), job_id)
    assert "brought before" in again["note"]
    assert len(shelf.stored) == 1


async def test_a_job_that_was_stored_in_part_is_completed_and_nothing_is_stored_twice(comfy: StandIn) -> None:
    stored: Stored = []
    job_id = await orphan(comfy, ANN, batch_size=3)
    with pytest.raises(tool.StorageRefused):
        await check(comfy, Shelf(stored, refuses="-2.png"), job_id)
    assert len(stored) == 2
    result = await check(comfy, Shelf(stored))
    assert [len(brought["images"]) for brought in result["brought"]] == [1]
    assert len({product.source for product, _ in stored}) == len(stored) == 3
    assert "brought" not in await check(comfy, Shelf(stored))


async def test_a_file_that_was_missing_is_brought_when_the_server_has_it_again(comfy: StandIn) -> None:
    stored: Stored = []
    job_id = await orphan(comfy, ANN, batch_size=3)
    comfy.misbehave.view_missing = {"ComfyUI_00002_.png"}
    first = await check(comfy, Shelf(stored), job_id)
    assert first["adjusted"][0].startswith('1 of 3 files is missing ("ComfyUI_00002_.png"): ')
    assert first["adjusted"][1].endswith(f"job_id {job_id}")
    named = await check(comfy, Shelf(stored), job_id)
    assert len(named["images"]) == 2
    assert named["note"].startswith("It was brought before, and is shown again. The rest could not be brought: ")
    assert [line["job_id"] for line in (await check(comfy, Shelf(stored)))["failed"]] == [job_id]
    comfy.misbehave.view_missing = ()
    await check(comfy, Shelf(stored), job_id)
    assert [product.source for product, _ in stored] == [f"ComfyUI_0000{number}_.png" for number in (1, 3, 2)]
    assert set(await check(comfy, Shelf(stored))) == {"status", "note"}


async def test_files_beyond_those_that_one_call_brings_are_brought_by_the_next(
    comfy: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "MOST_FILES_OF_CALL", 2)
    monkeypatch.setattr(tool, "MOST_FILES_OF_RUN", 5)
    stored: Stored = []
    job_id = await orphan(comfy, ANN, batch_size=6)
    first = await check(comfy, Shelf(stored), job_id)
    assert first["adjusted"] == [
        "3 more files were left out, since one call brings 2",
        "1 more file stays in ComfyUI's output folder: of a run 5 are brought",
        f"check_job tries once more to bring the 3 files that are missing: job_id {job_id}",
    ]
    for _ in range(3):
        await check(comfy, Shelf(stored))
    assert sum(request.path.endswith("/view") for request in comfy.requests) == 5
    assert [product.source for product, _ in stored] == [f"ComfyUI_0000{number}_.png" for number in range(1, 6)]


async def test_one_call_brings_so_many_files_of_all_jobs_together(
    comfy: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "MOST_FILES_OF_CALL", 3)
    for number in range(3):
        await orphan(comfy, ANN, batch_size=2, seed=number)
    stored: Stored = []
    first = await check(comfy, Shelf(stored))
    assert (len(stored), len(first["brought"]), first["more"]) == (3, 2, "1 more is done; call again")
    second = await check(comfy, Shelf(stored))
    assert (len(stored), "more" in second) == (6, False)
    assert set(await check(comfy, Shelf(stored))) == {"status", "note"}


# --- cancelled by its user while its own call waits for it ---


@pytest.mark.parametrize("refusal", [None, 404, 502], ids=["a websocket", "404", "502"])
async def test_a_waiting_job_that_is_cancelled_is_not_run_again_by_its_own_call(
    comfy: StandIn, refusal: int | None
) -> None:
    comfy.misbehave.refuse_websocket, comfy.misbehave.hold_at_step = refusal, 1
    await comfy.post(comfy.example_graph())
    await comfy.until_held()
    own = asyncio.create_task(make(comfy, wish=tool.Request("a fox"), timing=QUICKER, owner=ANN))
    await until(lambda: comfy.pending)
    assert (await check(comfy, Shelf([]), comfy.pending[0], cancel=True))["status"] == "cancelled"
    with pytest.raises(tool.RunInterrupted, match="taken out of the queue"):
        await asyncio.wait_for(own, 5)
    assert len(comfy.prompts) == 1
    comfy.release()


async def test_a_job_that_was_cancelled_here_was_not_lost_however_little_was_heard_of_it(comfy: StandIn) -> None:
    comfy.misbehave.hold_at_step = 1
    await comfy.post(comfy.example_graph())
    await comfy.until_held()
    mine = str(uuid.uuid4())
    mark = {"mark": ANN.mark(mine)}
    await comfy.post(comfy.example_graph(), prompt_id=mine, extra_data={tool.MARK: mark})
    unheard = dataclasses.replace(tool.Job.posted(mine, {}), away=True, absent=2)
    with pytest.raises(tool.JobLost):
        tool.judge(unheard, {})
    await check(comfy, Shelf([]), cancel=True)
    assert comfy.pending == []
    with pytest.raises(tool.RunInterrupted):
        tool.judge(unheard, {})
    comfy.release()


# --- without an id ---


async def test_the_users_own_jobs_are_told_of_all_servers_the_oldest_first(comfy: StandIn) -> None:
    async with StandIn(step_seconds=0.0) as other:
        second = await orphan(comfy, ANN, ago=200)
        first = await orphan(other, ANN, ago=300)
        await orphan(other, BOB)
        await other.post(other.example_graph())
        third = await begin(comfy)
        own = await tool.own_jobs(fleet(comfy, other))
    assert [prompt.prompt_id for _, prompt in own.jobs] == [first, second, third]
    assert [type(prompt.state) for _, prompt in own.jobs] == [tool.Recorded, tool.Recorded, tool.Started]
    assert (own.silent, own.in_part) == ([], [])
    comfy.release()


async def test_servers_that_do_not_answer_are_named_and_hold_nobody_up(comfy: StandIn) -> None:
    job = await orphan(comfy, ANN)
    own = await tool.own_jobs(fleet(comfy, NOBODY))
    assert [prompt.prompt_id for _, prompt in own.jobs] == [job]
    assert own.silent == ["ComfyUI"]


async def test_a_job_is_left_to_its_own_call_until_that_cannot_be_about_to_bring_it(comfy: StandIn) -> None:
    just_now, long_ago = await orphan(comfy, ANN, ago=1), await orphan(comfy, ANN, ago=300)
    outlived = await orphan(comfy, ANN, ago=1, wait=0.5)
    jobs = (await tool.own_jobs(fleet(comfy))).jobs
    assert {prompt.prompt_id for _, prompt in jobs if tool.is_attended(ANN, prompt)} == {just_now}
    alone = dataclasses.replace(ANN, alone=True)
    assert not any(tool.is_attended(alone, prompt) for _, prompt in jobs), "no other process has calls"
    assert {prompt.prompt_id for _, prompt in jobs} == {just_now, long_ago, outlived}


async def test_failed_jobs_are_told_once_and_take_no_place_of_those_that_are_done(comfy: StandIn) -> None:
    good = await orphan(comfy, ANN, ago=400)
    comfy.misbehave.fail_node = {"VAEDecode": ("ValueError", "no good")}
    bad = [await orphan(comfy, ANN) for _ in range(tool.MOST_BROUGHT)]
    stored: Stored = []
    first = await check(comfy, Shelf(stored))
    assert [line["job_id"] for line in first["failed"]] == bad
    assert all("no good" in line["error"] for line in first["failed"])
    assert [product.prompt_id for product, _ in stored] == [good]
    assert set(await check(comfy, Shelf(stored))) == {"status", "note"}


async def test_failures_beyond_those_that_one_call_tells_are_told_by_the_next(comfy: StandIn) -> None:
    comfy.misbehave.fail_node = {"VAEDecode": ("ValueError", "no good")}
    bad = [await orphan(comfy, ANN) for _ in range(tool.MOST_BROUGHT + 2)]
    newest = await check(comfy, Shelf([]))
    assert [line["job_id"] for line in newest["failed"]] == bad[2:]
    older = await check(comfy, Shelf([]))
    assert [line["job_id"] for line in older["failed"]] == bad[:2]
    assert set(await check(comfy, Shelf([]))) == {"status", "note"}


async def test_a_job_that_somebody_stopped_is_not_told_of_as_failed(comfy: StandIn) -> None:
    comfy.misbehave.hold_at_step = 1
    stopping = asyncio.create_task(orphan(comfy, ANN))
    await comfy.until_held()
    assert comfy.engine.interrupt(comfy.running[0])
    comfy.release()
    await stopping
    assert set(await check(comfy, Shelf([]))) == {"status", "note"}


async def test_a_line_tells_how_a_job_stands(comfy: StandIn) -> None:
    here = fleet(comfy)
    running, waiting = await begin(comfy), await begin(comfy, seed=8)
    jobs = (await tool.own_jobs(here)).jobs
    assert [tool.job_line(here, *job) for job in jobs] == [
        {"job_id": running, "state": "running", "workflow": "checkpoint", "name": "a-fox-7"},
        {"job_id": waiting, "state": "waiting, 1 ahead", "workflow": "checkpoint", "name": "a-fox-8"},
    ]
    seen = record(comfy)
    seen.ran("checkpoint", 90)
    seen.ran("flux", 30)
    line = tool.job_line(here, *jobs[1])
    assert line["state"] == "waiting, 1 ahead, done in about 2 min"  # 60 s for the one ahead, and its own 90
    with pytest.raises(tool.StillRunning, match=r"at work: Waiting, 1 ahead, done in about 2 min\."):
        await tool.bring(here, *jobs[1], Watcher(), wait=0.2)
    comfy.release()


# --- how far a job is ---


async def test_a_wait_that_is_over_tells_how_far_the_job_is_and_that_it_goes_on(comfy: StandIn) -> None:
    comfy.misbehave.hold_at_step = 5
    with pytest.raises(tool.StillRunning) as still:
        await make(comfy, steps=10, limits=tool.Limits(wait_seconds=0.4), timing=QUICKER, owner=ANN)
    assert re.search(r"is over and ComfyUI is still at work: \d+%", still.value.message)
    assert still.value.as_result()["note"].endswith(
        "It goes on; do not start it again. Tell the user; check_job brings it when they ask."
    )
    comfy.release()


async def test_a_job_that_a_call_follows_is_told_with_its_percentage(comfy: StandIn) -> None:
    comfy.misbehave.hold_at_step = 5
    own = asyncio.create_task(make(comfy, steps=10, timing=QUICKER, owner=ANN))
    await comfy.until_held()
    here = fleet(comfy)
    await until(lambda: "%" in tool.JOBS.standing(comfy.running[0]))
    (job,) = (await tool.own_jobs(here)).jobs
    assert re.fullmatch(r"running, \d+%( · .* left)?", tool.job_line(here, *job)["state"])
    result = await check(comfy, Shelf([]))
    assert (result["status"], result["job_id"], result["queue"]) == (
        "running",
        job[1].prompt_id,
        "1 running, 0 waiting",
    )
    assert re.search(r"Another call is following this job and brings it: \d+%", result["note"])
    comfy.release()
    await own
    assert tool.JOBS.standing(job[1].prompt_id) == ""


# --- by other words than its id ---


@pytest.mark.parametrize("words", ["{0}", "{0:.8}", "last", "Latest", '["{0}"]', "a-fox-7", "fox", "#{0:.6}"])
async def test_a_job_is_named_by_its_id_the_beginning_of_it_last_or_a_word_of_its_name(
    comfy: StandIn, words: str
) -> None:
    await orphan(comfy, ANN, ago=4000)
    job_id = await begin(comfy)
    await done(comfy, job_id)
    own = await tool.own_jobs(fleet(comfy))
    named = await tool.jobs_named(fleet(comfy), tool.job_words(words.format(job_id)), own)
    assert [prompt.prompt_id for _, prompt in named][-1] == job_id


async def test_several_jobs_are_named_in_one_call(comfy: StandIn) -> None:
    stored: Stored = []
    jobs = [await orphan(comfy, ANN, ago=ago) for ago in (300, 200, 100)]
    result = await check(comfy, Shelf(stored), f"{jobs[0][:8]}, {jobs[2]}")
    assert [product.prompt_id for product, _ in stored] == [jobs[0], jobs[2]]
    assert len(result["brought"]) == 2
    assert "note" not in result["brought"][0], "what is to be done about all of them is said once"


@pytest.mark.parametrize("words", ["", "all", "All", "mine", "my jobs"])
async def test_all_jobs_are_meant_by_no_word_and_by_all(comfy: StandIn, words: str) -> None:
    assert tool.job_words(words) == []


async def test_a_word_that_means_no_job_is_answered_with_all_of_them(comfy: StandIn) -> None:
    running, waiting = await begin(comfy), await begin(comfy, seed=8)
    result = await check(comfy, Shelf([]), "video")
    assert [line["job_id"] for line in result["jobs"]] == [running, waiting]
    assert result["note"] == 'No job of the user is called "video". These are all of the user\'s jobs.'
    assert result["queue"] == "1 running, 1 waiting"
    with pytest.raises(tool.UnknownJob) as unknown:
        await check(comfy, Shelf([]), "video", cancel=True)
    assert unknown.value.hint.startswith(f"At work: {running} (running, a-fox-7); ")
    comfy.release()


async def test_all_jobs_at_work_are_cancelled_where_all_are_named(comfy: StandIn) -> None:
    jobs = [await begin(comfy), await begin(comfy, seed=8)]
    with pytest.raises(tool.BadArgument, match="2 jobs of the user are at work"):
        await check(comfy, Shelf([]), cancel=True)
    result = await check(comfy, Shelf([]), "all", cancel=True)
    assert [job["job_id"] for job in result["jobs"]] == jobs
    comfy.release()
    await until(lambda: not comfy.running and not comfy.pending)


# --- how the last one ended ---


async def test_where_nothing_is_at_work_the_last_job_is_told_of(comfy: StandIn) -> None:
    await orphan(comfy, ANN)
    stored: Stored = []
    await check(comfy, Shelf(stored))
    done_note = (await check(comfy, Shelf(stored)))["note"]
    assert done_note.endswith('The last one is done: "a-fox-5", workflow checkpoint, seed 5.')
    comfy.misbehave.fail_node = {"VAEDecode": ("ValueError", "no good")}
    await orphan(comfy, ANN, ago=100)
    await check(comfy, Shelf(stored))
    failed_note = (await check(comfy, Shelf(stored)))["note"]
    assert 'The last one failed: "a-fox-5": ' in failed_note
    assert "no good" in failed_note


async def test_comfyui_status_tells_of_the_users_jobs_as_well(comfy: StandIn) -> None:
    here = fleet(comfy, NOBODY)
    assert (await tool.jobs_told(here, await here.statuses()))["last job"] == ""
    running = await begin(comfy)
    await begin(comfy, user="bob")
    told = await tool.jobs_told(here, await here.statuses())
    assert [line["job_id"] for line in told["your jobs"]] == [running]
    comfy.release()


# --- a server that the user has named since ---


async def test_a_job_on_a_server_that_the_user_no_longer_names_is_found_all_the_same(comfy: StandIn) -> None:
    async with StandIn() as other:
        job_id = await begin(comfy)
        everybodys = tool.Valves(endpoint=f"fast = {other.url}, big = {comfy.url}")
        user = {"id": "ann", "valves": {"server": "fast"}}
        settings = tool.resolve(everybodys, user, owner=ANN)
        assert (await tool.find_job(settings.fleet, job_id))[1].prompt_id == job_id
        assert len((await tool.own_jobs(settings.fleet)).jobs) == 1
    comfy.release()


async def test_after_a_restart_of_comfyui_it_is_said_that_its_history_is_gone(comfy: StandIn) -> None:
    job_id = await begin(comfy)
    await comfy.restart()
    note = (await check(comfy, Shelf()))["note"]
    assert "No server knows a job of the user. The history of ComfyUI is empty: since a restart" in note
    with pytest.raises(tool.UnknownJob, match="forgets its history when it is restarted"):
        await check(comfy, Shelf(), job_id)
    await done(comfy, await comfy.post(comfy.example_graph()))
    assert "history" not in (await check(comfy, Shelf()))["note"]
