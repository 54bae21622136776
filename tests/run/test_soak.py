"""Many jobs of many people on four servers, while everything that can go wrong does, at random.

It runs on a clock of its own, and all happens in the same order: a seed means the same weather, the same waits and the
same ends on every machine. Others are tried with

    SOAK_SEED=2 SOAK_PEOPLE=50 pytest tests/run/test_soak.py
"""

import asyncio
import collections
import contextlib
import gc
import json
import math
import os
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.own_clock import OwnClockLoop
from tests.support.pictures import opened
from tests.support.proxy import Proxy
from tests.support.runs import make
from tests.support.stand_in import StandIn
from tests.support.watching import until

SEED = int(os.environ.get("SOAK_SEED", "1"))
PEOPLE = int(os.environ.get("SOAK_PEOPLE", "12"))
JOBS_EACH, SERVERS = 5, 4
PATIENCE = tool.Timing(first=0.05, look_up=0.3, longest=0.6, polling=0.1, settle=0.1, gone=1.0)
# How a call may fail when servers do. Anything else, a node's error or one of the tool's own, is a mistake.
FAILURES = {"job_lost", "server_gone", "server_unreachable"}
OPEN_FILES = Path("/proc/self/fd")


@dataclass(frozen=True)
class Taken:
    """A job that a server took in."""

    name: str
    at: float
    server: "Server"


class Server(StandIn):
    """A stand-in that remembers when it took what in, and when it could not be reached for long or forgot all."""

    def __init__(self) -> None:
        super().__init__(step_seconds=0.03)
        self.taken: list[Taken] = []
        self.lost: list[float] = []  # the moments at which what it had was given up

    def submit(self, body: Any) -> dict[str, Any]:
        answer = super().submit(body)
        self.taken.append(Taken(prompt_text(body["prompt"]), time.monotonic(), self))
        return answer

    async def kill(self) -> None:
        await super().kill()
        self.lost.append(time.monotonic())


@dataclass
class Call:
    """One person's wish and what became of it."""

    name: str
    end: str = "never ended"
    job_id: str = ""
    made: tuple[tool.OutputFile, ...] = ()


def prompt_text(graph: Any) -> str:
    """The longer text of a graph, which is the prompt."""
    texts = [node["inputs"]["text"] for node in graph.values() if "text" in node["inputs"]]
    return max((text for text in texts if isinstance(text, str)), key=len)


def drawn_for(picture: tool.OutputFile) -> str:
    """Whose prompt a picture was made from, as it says itself."""
    return prompt_text(json.loads(opened(picture).info["prompt"]))


class Weather:
    """What goes wrong with one server: one thing after another, with some calm between."""

    def __init__(self, server: Server, proxy: Proxy, chance: random.Random) -> None:
        self.server, self.proxy, self.chance = server, proxy, chance
        self.seen: collections.Counter[str] = collections.Counter()

    async def blow(self, over: asyncio.Event) -> None:
        often = [self.cut, self.lose_answer, self.stall, self.bad_gateway, self.truncate]
        kinds = [self.restart, self.away, *often, *often, *often]
        while not over.is_set():
            kind = self.chance.choice(kinds)
            self.seen[kind.__name__] += 1
            await kind()
            await asyncio.sleep(self.chance.uniform(0.3, 0.7))
        self.server.misbehave.lose_post_answer = False

    async def moment(self) -> None:
        await asyncio.sleep(self.chance.uniform(0.05, 0.3))

    async def restart(self) -> None:
        self.proxy.refuse()
        await self.server.kill()
        await self.moment()
        await self.server.restart()
        self.proxy.listen()

    async def away(self) -> None:
        """Longer than is waited for it: what it has may be run elsewhere."""
        self.proxy.refuse()
        await asyncio.sleep(0.9 * PATIENCE.gone)
        self.server.lost.append(time.monotonic())
        await asyncio.sleep(0.6 * PATIENCE.gone)
        self.proxy.listen()

    async def cut(self) -> None:
        self.proxy.cut(*self.chance.choice([(), ("websocket",)]))

    async def stall(self) -> None:
        self.proxy.stall(*self.chance.choice([(), ("websocket",)]))
        await self.moment()
        self.proxy.flow()

    async def lose_answer(self) -> None:
        self.server.misbehave.lose_post_answer = True

    async def bad_gateway(self) -> None:
        self.proxy.answer(502)
        await self.moment()
        self.proxy.flow()

    async def truncate(self) -> None:
        self.server.misbehave.truncate_view = True
        await self.moment()
        self.server.misbehave.truncate_view = False


class Person:
    """Wants one picture after the other, and stops a few."""

    def __init__(self, number: int, addresses: list[str], chance: random.Random) -> None:
        self.addresses, self.chance = addresses, chance
        self.calls = [Call(f"the lighthouse of person {number}, number {index}") for index in range(JOBS_EACH)]

    async def want_all(self) -> None:
        for call in self.calls:
            await self.want(call)

    async def want(self, call: Call) -> None:
        seed = self.chance.randrange(2**32)
        where = self.chance.sample(self.addresses, SERVERS)
        limits = tool.Limits(wait_seconds=0.1 if self.chance.random() < 0.02 else 20.0)
        making = asyncio.create_task(
            make(*where, limits=limits, previews=False, timing=PATIENCE, prompt=call.name, steps=2, seed=seed)
        )
        if self.chance.random() < 0.05:
            await asyncio.sleep(self.chance.uniform(0.0, 1.0))
            making.cancel()
        try:
            made = await making
        except asyncio.CancelledError:
            call.end = "cancelled"
        except tool.StillRunning as still:
            call.end, call.job_id = still.code, still.job_id
        except tool.ComfyUIError as error:
            call.end = error.code
        else:
            call.end, call.made = "outputs", made.products
            assert made.seed == seed


async def weathered(seed: int, people: int) -> tuple[list[Call], list[Server]]:
    """What became of the calls of so many people, and the servers that they were made for."""
    chance = random.Random(seed)
    async with contextlib.AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(Server()) for _ in range(SERVERS)]
        ports = [int(server.url.rpartition(":")[2]) for server in servers]
        proxies = [await stack.enter_async_context(Proxy("127.0.0.1", port)) for port in ports]
        weathers = [
            Weather(server, proxy, random.Random(chance.random()))
            for server, proxy in zip(servers, proxies, strict=True)
        ]
        addresses = [proxy.url for proxy in proxies]
        persons = [Person(number, addresses, random.Random(chance.random())) for number in range(people)]
        over = asyncio.Event()
        blowing = [asyncio.create_task(weather.blow(over)) for weather in weathers]
        await asyncio.gather(*(person.want_all() for person in persons))
        over.set()
        await asyncio.gather(*blowing)
        await until(lambda: not any((*server.running, *server.pending) for server in servers))
        await tool.close_servers()
        await until(lambda: not any(server.sockets for server in servers))
    await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})
    return [call for person in persons for call in person.calls], servers


@pytest.fixture(autouse=True)
async def exactly() -> AsyncIterator[None]:
    """Lets a seed mean the same on every machine: also in the tool, which draws some of its pauses by lot."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, OwnClockLoop)
    loop.be_exact()
    state = random.getstate()
    yield
    random.setstate(state)


async def test_jobs_of_many_people_end_as_they_should_whatever_happens() -> None:
    files = open_files()
    random.seed(SEED)
    calls, servers = await weathered(SEED, PEOPLE)
    check(calls, servers)
    assert any(server.lost for server in servers), "there was some weather"
    gc.collect()
    await until(lambda: open_files() <= files)  # the last connections close a moment later


async def test_a_seed_means_the_same_each_time() -> None:
    became = []
    for _ in range(2):
        random.seed(SEED)
        calls, servers = await weathered(SEED, 3)
        taken = [[job.name for job in server.taken] for server in servers]
        became.append(([(call.name, call.end) for call in calls], taken))
    assert became[0] == became[1]


def open_files() -> int:
    return len(list(OPEN_FILES.iterdir())) if OPEN_FILES.exists() else 0


def check(calls: list[Call], servers: list[Server]) -> None:
    """Calls ended only as they may, most of them well, and nobody got what is another's."""
    ends = collections.Counter(call.end for call in calls)
    assert set(ends) <= {"outputs", "cancelled", "still_running", *FAILURES}, ends
    assert ends["outputs"] >= 0.7 * len(calls), ends
    by_name = collections.defaultdict(list)
    for taken in sorted((taken for server in servers for taken in server.taken), key=lambda taken: taken.at):
        by_name[taken.name].append(taken)
    for call in calls:
        check_call(call, by_name[call.name])
    pictures = [picture.data.whole() for call in calls for picture in call.made]
    assert len(set(pictures)) == len(pictures), "no picture is delivered twice"


def check_call(call: Call, taken: list[Taken]) -> None:
    """It has its own picture, and it was posted at most once more, and only where its server had lost it."""
    if call.end == "outputs":
        assert [drawn_for(picture) for picture in call.made] == [call.name]
    if call.end == "still_running":
        assert call.job_id
    assert len(taken) <= 2, f"{call} was posted {len(taken)} times"
    given_up = taken if call.end == "job_lost" else taken[:-1]
    until_then = [after.at for after in taken[1:]] + [math.inf]
    for one, then in zip(given_up, until_then, strict=False):
        assert any(one.at < moment < then for moment in one.server.lost), f"{call}: its server had it"
