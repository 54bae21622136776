"""What a run made is fetched as far as it comes, and what does not come is named with its reason."""

import asyncio
import dataclasses
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from aiohttp import web

import comfyui_tool as tool
from tests.support.pictures import png
from tests.support.runs import draw, make
from tests.support.serving import serving
from tests.support.stand_in import StandIn

PICTURE = png()
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def whole(_: web.Request) -> web.StreamResponse:
    return web.Response(body=PICTURE)


async def empty(_: web.Request) -> web.StreamResponse:
    return web.Response(body=b"")


async def cut(request: web.Request) -> web.StreamResponse:
    """Half of what was announced."""
    response = web.StreamResponse()
    response.content_length = len(PICTURE)
    await response.prepare(request)
    await response.write(PICTURE[: len(PICTURE) // 2])
    assert request.transport
    request.transport.close()
    return response


async def dripping(request: web.Request) -> web.StreamResponse:
    """A byte now and then, without an end."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"x")
        await asyncio.sleep(20)


async def collected(handlers: Sequence[Handler]) -> tuple[tool.Collected, float]:
    """What comes of a run whose files are given out so, and after how many seconds."""

    async def view(request: web.Request) -> web.StreamResponse:
        return await handlers[int(request.query["filename"])](request)

    outputs = tuple(tool.Output("9", str(number), "", "output") for number in range(len(handlers)))
    job = dataclasses.replace(tool.Job.posted("p", {}), outputs=outputs)
    begun = time.monotonic()
    async with serving("/view", view) as url, tool.open_server(tool.Endpoint(url)) as server:
        made = await tool.collect(server, job, {})
    await tool.close_servers()
    return made, time.monotonic() - begun


@pytest.mark.parametrize(("bad", "reason"), [(empty, 'ComfyUI\'s file "1" is empty'), (cut, "ComfyUI stopped")])
async def test_a_file_without_its_content_is_named_and_the_others_come(bad: Handler, reason: str) -> None:
    made, _ = await collected([whole, bad, whole])
    assert [product.source for product in made.products] == ["0", "2"]
    assert made.notes[0].startswith(f'1 of 3 files is missing ("1"): {reason}')
    assert (made.left_out, made.left) == (1, 1)


async def test_a_mistake_of_the_tool_at_one_file_does_not_cost_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    deliver = tool.delivered_as_made

    def mistaken(data: tool.FileBytes, source: str, wanted: tool.Format) -> Any:
        if source == "1":
            raise RuntimeError("a mistake")
        return deliver(data, source, wanted)

    monkeypatch.setattr(tool, "delivered_as_made", mistaken)
    made, _ = await collected([whole] * 3)
    assert [product.source for product in made.products] == ["0", "2"]
    assert made.notes == ('1 of 3 files is missing ("1"): The tool failed at a file (RuntimeError)',)


async def test_files_that_never_come_whole_hold_up_the_others_once() -> None:
    made, seconds = await collected([*[cut] * tool.PARALLEL_FILES, whole, *[cut] * 20, whole])
    assert [product.source for product in made.products] == ["10", "31"]
    assert made.notes[0].startswith('30 of 32 files are missing ("0", "1", "2", "3", "4" and 25 more): ')
    assert seconds < 2 * tool.Timing().gone


async def test_what_does_not_come_in_time_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "MOST_COLLECTING_SECONDS", 100.0)
    made, seconds = await collected([dripping, whole, dripping])
    assert [product.source for product in made.products] == ["1"]
    assert made.notes == ('2 of 3 files are missing ("0", "2"): The files did not come within 2 min',)
    assert 100 <= seconds < 110


async def test_a_server_that_dies_while_many_files_are_fetched_is_waited_for_once() -> None:
    answers = itertools.count()

    async def dying(request: web.Request) -> web.StreamResponse:
        return await (whole if next(answers) < 5 else cut)(request)

    made, seconds = await collected([dying] * 100)
    assert (len(made.products), made.left) == (5, 95)
    assert seconds < 2 * tool.Timing().gone


async def test_where_nothing_comes_the_error_says_what_brings_it_later(quick_comfy: StandIn) -> None:
    quick_comfy.misbehave.view_missing = lambda name: True
    with pytest.raises(tool.UnexpectedAnswer) as error:
        await draw(quick_comfy)
    (job_id,) = quick_comfy.history
    assert f"check_job may bring its files later, job_id {job_id}" in error.value.as_result()["hint"]


async def test_a_file_is_asked_for_again_when_a_proxy_says_so(quick_comfy: StandIn) -> None:
    too_many = (429, "text/html", "")
    quick_comfy.misbehave.view_answers, quick_comfy.misbehave.retry_after = [too_many], "30"
    begun = time.monotonic()
    assert (await make(quick_comfy, timing=tool.Timing())).products
    assert 24 <= time.monotonic() - begun < 40
