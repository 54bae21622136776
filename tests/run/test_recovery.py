"""A job is never lost: what goes wrong while it is made, how far it is then, and how it ends, with one server and with
two."""

import asyncio
import contextlib
import dataclasses
import functools
import gc
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.pictures import opened
from tests.support.proxy import Hold, Proxy
from tests.support.runs import Shelf, make
from tests.support.stand_in import StandIn
from tests.support.watching import Watcher, until

# What goes wrong, and how far the job is then:
#   connecting  the first request of the call is on its way     ended      it is done, and the tool has not heard of it
#   posting     its POST is on its way                          download   half of its picture has come
#   queued      somebody else's job runs before it              storing    Open WebUI is taking its file in
#   running     it is at its second step
# How it ends, within seconds, and with nothing left on any server:
#   outputs     its picture; one post, one run                  nobody     server_unreachable
#   again       its picture; posted once more                   gone       server_gone
#   stopped     run_interrupted                                 lost       job_lost; posted once more
#   running     still_running with its id, and it goes on       cancelled  the call is, and the job, too
#   strange     unexpected_answer                              died       job_lost, of one that was executing: one post

ALONE = """
                                        connecting posting   queued    running   ended     download  storing
the websocket drops                     -          outputs   outputs   outputs   outputs   outputs   outputs
the websocket drops and closes late     -          outputs   outputs   outputs   outputs   outputs   outputs
the websocket goes silent               outputs    outputs   outputs   outputs   outputs   outputs   outputs
no websocket opens any more             outputs    outputs   outputs   outputs   outputs   outputs   outputs
the answer to the POST is lost          -          outputs   -         -         -         -         -
the POST is answered 520                -          outputs   -         -         -         -         -
the POST is answered 530                -          outputs   -         -         -         -         -
the POST is answered 500                -          outputs   -         -         -         -         -
the POST is answered 429                -          outputs   -         -         -         -         -
the POST is answered 413                -          outputs   -         -         -         -         -
the POST is answered 404                -          outputs   -         -         -         -         -
the POST is answered 403                -          outputs   -         -         -         -         -
the POST is answered 401                -          outputs   -         -         -         -         -
the POST is answered 400                -          outputs   -         -         -         -         -
the POST is answered 302                -          outputs   -         -         -         -         -
the POST is answered with a page        -          outputs   -         -         -         -         -
the POST is answered with other JSON    -          outputs   -         -         -         -         -
the POST is refused in other JSON       -          outputs   -         -         -         -         -
the file is answered 520                -          -         -         outputs   -         -         -
the file is answered 500                -          -         -         outputs   -         -         -
the file is answered 429                -          -         -         outputs   -         -         -
the file is answered 404                -          -         -         outputs   -         -         -
the file is answered 403                -          -         -         outputs   -         -         -
the file is answered 401                -          -         -         outputs   -         -         -
the file is answered 302                -          -         -         outputs   -         -         -
the file is answered with a page        -          -         -         outputs   -         -         -
the file is answered with other JSON    -          -         -         outputs   -         -         -
the file is answered so for ever        -          -         -         strange   -         -         -
look-ups are answered with other JSON   -          outputs   outputs   outputs   outputs   -         -
every connection breaks off once        outputs    outputs   outputs   outputs   outputs   outputs   outputs
every download breaks off               -          -         -         -         -         gone      -
it was made before, and deleted         -          again     -         -         -         -         -
the server is away for a moment         nobody     outputs   outputs   outputs   outputs   outputs   outputs
the server is away for long             nobody     gone      gone      gone      gone      gone      outputs
the server restarts and knows nothing   nobody     outputs   again     died      died      outputs   outputs
the server restarts twice               -          -         lost      -         -         -         -
the server dies                         nobody     gone      gone      gone      gone      gone      outputs
the proxy answers 502 for a while       nobody     outputs   outputs   outputs   outputs   outputs   outputs
the proxy answers 502 for ever          nobody     gone      running   running   running   gone      outputs
all goes silent for a while             outputs    outputs   outputs   outputs   outputs   outputs   outputs
all goes silent for ever                nobody     gone      running   running   running   gone      outputs
the machine sleeps                      -          outputs   outputs   outputs   outputs   outputs   outputs
the history comes late                  -          -         outputs   outputs   -         -         -
nothing goes on                         -          -         running   running   -         -         -
somebody takes the job out              -          -         stopped   stopped   -         -         -
it is taken out while nobody hears      -          -         stopped   -         -         -         -
Stop                                    cancelled  cancelled cancelled cancelled cancelled cancelled cancelled
Stop while the server is away           -          cancelled cancelled cancelled cancelled cancelled cancelled
"""

# With a second server that is well; what goes wrong befalls the first one.
#   outputs     its picture, from the first server              elsewhere  its picture, from the second; none was posted
#   once        its picture; one post, to either                           to the first
TWO_SERVERS = """
                                        connecting posting   queued    running   ended     download
the websocket drops                     -          outputs   outputs   outputs   outputs   outputs
every connection breaks off once        outputs    once      outputs   outputs   outputs   outputs
the server is away for a moment         elsewhere  once      outputs   outputs   outputs   outputs
the server is away for long             elsewhere  elsewhere again     gone      gone      again
the server restarts and knows nothing   elsewhere  once      again     died      died      outputs
both servers lose it                    -          -         lost      -         -         -
the server dies                         elsewhere  elsewhere again     gone      gone      again
the proxy answers 502 for a while       elsewhere  once      outputs   outputs   outputs   outputs
the proxy answers 502 for ever          elsewhere  gone      -         running   -         gone
somebody takes the job out              -          -         stopped   stopped   -         -
Stop at the second server               -          -         cancelled -         -         -
"""

MOMENT = 0.25  # shorter than what is waited for a server that refuses connections
PATIENCE = tool.Timing(first=0.02, look_up=0.2, longest=0.4, polling=0.05, settle=0.1, gone=0.7)
CODES = {
    "server_unreachable": "nobody",
    "server_gone": "gone",
    "job_lost": "lost",
    "run_interrupted": "stopped",
    "still_running": "running",
    "unexpected_answer": "strange",
}
PROMPT, SEED = "a lighthouse at dusk", 7


@dataclasses.dataclass
class World:
    """One call under way, and the servers that it is made for; all faults befall `first`, behind the proxy."""

    first: StandIn
    proxy: Proxy
    second: StandIn | None = None
    wait_seconds: float = 10.0
    timing: tool.Timing = PATIENCE
    shelf: Shelf = dataclasses.field(default_factory=Shelf)
    holds: list[Hold] = dataclasses.field(default_factory=list)
    others: set[str] = dataclasses.field(default_factory=set)  # the ids of somebody else's jobs
    dead: bool = False
    watcher: Watcher = dataclasses.field(default_factory=Watcher)
    call: asyncio.Task[tool.RunResult] = dataclasses.field(init=False)

    @property
    def servers(self) -> list[StandIn]:
        return [self.first, self.second] if self.second else [self.first]

    @property
    def posted(self) -> list[str]:
        """The ids of all prompts that were taken in."""
        return [prompt["prompt_id"] for server in self.servers for prompt in server.prompts]

    @property
    def left(self) -> list[str]:
        """The prompts that wait or run anywhere, whoever posted them."""
        alive = self.servers[1:] if self.dead else self.servers
        return [prompt for server in alive for prompt in (*server.running, *server.pending)]

    @property
    def given_up(self) -> bool:
        """Whether the first server is not waited for any more."""
        elsewhere = self.second is not None and bool(self.second.prompts)
        return self.call.done() or elsewhere or self.shelf.reached.is_set()

    def begin(self) -> None:
        """Start the call; what it makes is not taken in before it is let go on."""
        self.shelf.opened.clear()
        self.call = asyncio.create_task(self._make_and_keep())

    async def _make_and_keep(self) -> tool.RunResult:
        where, limits = [self.proxy.url, *self.servers[1:]], tool.Limits(wait_seconds=self.wait_seconds)
        made = await make(*where, limits=limits, timing=self.timing, watcher=self.watcher, prompt=PROMPT, seed=SEED)
        await self.shelf.keep(made.products, "picture")
        return made

    def hold(self, request: str, after: int | None = None) -> Hold:
        """Keep this request at the proxy, or its answer after so many bytes."""
        self.holds.append(self.proxy.hold(request, after))
        return self.holds[-1]

    def go_on(self) -> None:
        """Let go whatever kept the job where it was."""
        for hold in self.holds:
            hold.release()
        for server in self.servers:
            server.release()
        self.shelf.opened.set()


# --- how far the job is ---


async def reached(world: World, there: asyncio.Event) -> None:
    """Until the job is there; a call that ends before that never will be."""
    waiting = asyncio.create_task(there.wait())
    await asyncio.wait({world.call, waiting}, timeout=15.0, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if world.call.done() and not there.is_set():
        raise NotReached(repr(world.call.exception()))
    assert there.is_set(), "the phase is not reached"


async def connecting(world: World) -> None:
    hold = world.hold("GET /")
    world.begin()
    await reached(world, hold.reached)


async def posting(world: World) -> None:
    hold = world.hold("POST /prompt")
    world.begin()
    await reached(world, hold.reached)


async def queued(world: World) -> None:
    for jobs, server in enumerate(world.servers, 1):  # the second has more to do, so that the first one is taken
        server.misbehave.hold_at_step = 2
        for _ in range(jobs):
            world.others.add(await server.post(server.example_graph(width=64, height=64)))
        await server.until_held()
    world.begin()
    await until(lambda: "Waiting, 1 ahead" in world.watcher.texts)
    if world.second:
        world.second.release()


async def running(world: World) -> None:
    world.first.misbehave.hold_at_step = 2
    world.begin()
    await world.first.until_held()


async def ended(world: World) -> None:
    await running(world)
    world.proxy.stall()
    world.first.release()
    await until(lambda: world.first.history)
    world.proxy.flow()  # what comes next happens before a byte gets through


async def download(world: World) -> None:
    hold = world.hold("GET /view?", after=1500)
    world.begin()
    await reached(world, hold.reached)


async def storing(world: World) -> None:
    world.begin()
    await reached(world, world.shelf.reached)


PHASES = {phase.__name__: phase for phase in (connecting, posting, queued, running, ended, download, storing)}


# --- what goes wrong: each strikes before it first waits ---

Fault = Callable[[World], Awaitable[None]]
FAULTS: dict[str, Fault] = {}


def fault(name: str) -> Callable[[Fault], Fault]:
    def named(strike: Fault) -> Fault:
        FAULTS[name] = strike
        return strike

    return named


@fault("the websocket drops")
async def _(world: World) -> None:
    world.proxy.cut("websocket")


@fault("the websocket drops and closes late")
async def _(world: World) -> None:
    world.proxy.cut_near("websocket")
    with contextlib.suppress(TimeoutError):  # where none is needed any more, none is opened
        await until(lambda: len(world.first.sockets) == 2 or world.call.done(), 0.7)
    world.proxy.close_late()


@fault("the websocket goes silent")
async def _(world: World) -> None:
    world.proxy.stall("websocket")


@fault("no websocket opens any more")
async def _(world: World) -> None:
    world.proxy.refuse("websocket")


@fault("the answer to the POST is lost")
async def _(world: World) -> None:
    world.first.misbehave.lose_post_answer = True


Strange = tuple[int, str, str]  # an answer that is not ComfyUI's: its status, type and text
PAGE = ("text/html", "<html>Something went wrong</html>")
OTHER_JSON = ("application/json", '{"error": "try again"}')
STRANGE: dict[str, Strange] = {
    **{str(status): (status, *PAGE) for status in (520, 530, 500, 429, 413, 404, 403, 401, 400, 302)},
    "with a page": (200, *PAGE),
    "with other JSON": (200, *OTHER_JSON),
}


async def answer_post(world: World, strange: Strange) -> None:
    world.first.misbehave.post_answer = strange


async def answer_file(world: World, strange: Strange) -> None:
    world.first.misbehave.view_answers = [strange]


for how, strange in STRANGE.items():
    FAULTS[f"the POST is answered {how}"] = functools.partial(answer_post, strange=strange)
    FAULTS[f"the file is answered {how}"] = functools.partial(answer_file, strange=strange)


@fault("the POST is refused in other JSON")
async def _(world: World) -> None:
    await answer_post(world, (400, *OTHER_JSON))


@fault("the file is answered so for ever")
async def _(world: World) -> None:
    world.first.misbehave.view_answers = [*STRANGE.values()] * 10


@fault("look-ups are answered with other JSON")
async def _(world: World) -> None:
    """For a while, and after the answer to the post was lost, if that is under way."""
    world.first.misbehave.lose_post_answer = not world.posted
    world.proxy.cut("websocket")
    world.first.misbehave.json_for = {"/queue": {"error": "try again"}, "/history": {"error": "try again"}}
    await asyncio.sleep(MOMENT)
    world.first.misbehave.json_for = {}


@fault("every connection breaks off once")
async def _(world: World) -> None:
    world.proxy.cut()


@fault("every download breaks off")
async def _(world: World) -> None:
    world.proxy.cut("http")
    world.first.misbehave.truncate_view = True


@fault("it was made before, and deleted")
async def _(world: World) -> None:
    await make(world.first, timing=world.timing, prompt=PROMPT, seed=SEED)
    world.first.files.empty("output")
    world.first.prompts.clear()


@fault("the server is away for a moment")
async def _(world: World) -> None:
    world.proxy.refuse()
    await asyncio.sleep(MOMENT)
    world.proxy.listen()


@fault("the server is away for long")
async def _(world: World) -> None:
    first = list(world.posted)
    world.proxy.refuse()
    await until(lambda: world.given_up)
    world.proxy.listen()
    if world.second:
        await until(lambda: not set(first) & set(world.first.pending))  # the copy is withdrawn


@fault("the server restarts and knows nothing")
async def _(world: World) -> None:
    world.proxy.refuse()
    await world.first.kill()
    await asyncio.sleep(MOMENT)
    await world.first.restart()
    world.proxy.listen()


@fault("the server restarts twice")
async def _(world: World) -> None:
    await FAULTS["the server restarts and knows nothing"](world)
    await world.first.until_held()
    await FAULTS["the server restarts and knows nothing"](world)


@fault("both servers lose it")
async def _(world: World) -> None:
    assert world.second
    world.second.misbehave.hold_at_step = 2
    await FAULTS["the server restarts and knows nothing"](world)
    await until(lambda: len(world.posted) == 2)
    if world.second.prompts:
        await world.second.until_held()
        await asyncio.sleep(0.05)
        await world.second.restart()
    else:
        await world.first.until_held()
        await FAULTS["the server restarts and knows nothing"](world)


@fault("the server dies")
async def _(world: World) -> None:
    world.proxy.refuse()
    world.dead = True
    await world.first.kill()


@fault("the proxy answers 502 for a while")
async def _(world: World) -> None:
    world.proxy.answer(502)
    await asyncio.sleep(MOMENT)
    world.proxy.flow()


@fault("the proxy answers 502 for ever")
async def _(world: World) -> None:
    world.proxy.answer(502)


@fault("all goes silent for a while")
async def _(world: World) -> None:
    world.proxy.stall()
    await asyncio.sleep(MOMENT)
    world.proxy.flow()


@fault("all goes silent for ever")
async def _(world: World) -> None:
    world.proxy.stall()


@fault("the machine sleeps")
async def _(world: World) -> None:
    world.proxy.cut()
    time.sleep(1.1 * PATIENCE.gone)  # everything in this process stands still


@fault("the history comes late")
async def _(world: World) -> None:
    world.first.misbehave.history_delay = MOMENT
    world.first.misbehave.mute_frames = {"executed"}


@fault("nothing goes on")
async def _(world: World) -> None:
    await asyncio.wait({world.call}, timeout=10.0)


@fault("somebody takes the job out")
async def _(world: World) -> None:
    (job,) = world.posted
    assert world.first.engine.delete(job) or world.first.engine.interrupt(job)


@fault("it is taken out while nobody hears")
async def _(world: World) -> None:
    world.proxy.cut()
    world.first.engine.delete(*world.posted)


@fault("Stop")
async def _(world: World) -> None:
    world.call.cancel()


@fault("Stop while the server is away")
async def _(world: World) -> None:
    world.proxy.refuse()
    await asyncio.sleep(0.05)
    world.call.cancel()
    await asyncio.sleep(MOMENT)
    world.proxy.listen()


@fault("Stop at the second server")
async def _(world: World) -> None:
    assert world.second
    world.second.misbehave.hold_at_step = 2
    await FAULTS["the server dies"](world)
    await world.second.until_held()
    world.call.cancel()


# --- the tables as tests: one a row, its cells side by side ---


def rows(table: str) -> list[Any]:
    """Of each row the fault, and by phase how the job has to end."""
    head, *lines = table.strip("\n").split("\n")
    phases = head.split()
    width = head.index(phases[0])
    found = []
    for line in lines:
        name, ends = line[:width].strip(), zip(phases, line[width:].split(), strict=True)
        found.append(pytest.param(name, {phase: end for phase, end in ends if end != "-"}, id=name.replace(" ", "-")))
    return found


@pytest.fixture(autouse=True, scope="module")
def unburdened() -> Iterator[None]:
    """What other tests have left in memory is not gone through again and again: that stops the loop for seconds."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
async def hurried(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """What is waited for in seconds or minutes, in fractions of a second; and at the end no task is left."""
    for name, seconds in (("CONNECT_SECONDS", 1.5), ("LOOK_UP_SECONDS", 0.8), ("STALL_SECONDS", 0.6)):
        monkeypatch.setattr(tool, name, seconds)
    monkeypatch.setattr(tool, "CLEAN_UP_SECONDS", 0.6)
    monkeypatch.setitem(tool.ComfyUIServer.call.__kwdefaults__, "seconds", 4.0)
    yield
    await tool.close_servers()
    with contextlib.suppress(TimeoutError):
        await until(lambda: len(asyncio.all_tasks()) == 1)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@contextlib.asynccontextmanager
async def made_world(servers: int, wait_seconds: float, timing: tool.Timing = PATIENCE) -> AsyncIterator[World]:
    async with contextlib.AsyncExitStack() as stack:
        first, *others = [await stack.enter_async_context(StandIn(step_seconds=0.002)) for _ in range(servers)]
        proxy = await stack.enter_async_context(Proxy("127.0.0.1", int(first.url.rpartition(":")[2])))
        yield World(first, proxy, *others, wait_seconds=wait_seconds, timing=timing)


async def check(fault: str, required: dict[str, str], servers: int) -> None:
    """All cells of a row; what the tool keeps for its servers is closed at the end, and nothing stays open."""
    at_once = asyncio.Semaphore(1 if fault == "the machine sleeps" else 4)  # more would wait for the processor
    passes = fault.endswith(("for a moment", "for a while"))  # though a busy machine may make a long one of it
    timing = dataclasses.replace(PATIENCE, gone=6.0) if passes else PATIENCE
    async with contextlib.AsyncExitStack() as stack:
        worlds: list[World] = []

        async def become(phase: str, end: str) -> str:
            for last in (False, True):  # a machine that is busy may be too slow for what is hurried here
                wait = 1.2 if end == "running" else 10.0
                world = await stack.enter_async_context(made_world(servers, wait, timing))
                worlds.append(world)
                try:
                    async with at_once:
                        return await cell(world, fault, phase, end)
                except NotReached:
                    if last:
                        raise
            raise AssertionError

        became = await asyncio.gather(*(become(phase, end) for phase, end in required.items()))
        await tool.close_servers()
        assert dict(zip(required, became, strict=True)) == required
        await until(lambda: not any(server.sockets for world in worlds for server in world.servers))


class NotReached(Exception):
    """The call ended before the job was where something should go wrong."""


async def cell(world: World, fault: str, phase: str, required: str) -> str:
    """How the job ends, in a word of the table; or what is wrong then."""
    try:
        await PHASES[phase](world)
        await FAULTS[fault](world)
        if required != "running" or phase not in ("queued", "running"):
            world.go_on()
        return await end(world, required)
    except (AssertionError, TimeoutError) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        world.proxy.flow()
        world.go_on()
        world.call.cancel()
        await asyncio.wait({world.call}, timeout=10.0)


async def end(world: World, required: str) -> str:
    done, _ = await asyncio.wait({world.call}, timeout=20.0)
    assert done, "the call does not end"
    cancelled = world.call.cancelled()
    became = cancelled or world.call.exception() or world.call.result()
    if isinstance(became, tool.StillRunning):
        assert world.posted in ([], [became.job_id])
        assert all(job in (*world.left, *world.first.history) for job in world.posted), "the job is left alone"
    world.proxy.flow()
    world.go_on()
    await until(lambda: not world.left)
    check_others(world)
    posts = [len(server.prompts) for server in world.servers]
    if isinstance(became, tool.RunResult):
        check_picture(became)
        words = {(1,): "outputs", (1, 0): "outputs", (0, 1): "elsewhere"}
        word = words.get(tuple(posts), "again" if sum(posts) == 2 else f"posted {posts}")
        return "once" if required == "once" and sum(posts) == 1 else word
    assert sum(posts) <= (2 if required in ("lost", "cancelled") else 1), f"it was posted {posts}"
    if isinstance(became, tool.JobLost) and sum(posts) == 1:
        assert became.executing
        return "died"
    if isinstance(became, tool.ComfyUIError):
        return CODES.get(became.code, f"{became.code}: {became.message}")
    return "cancelled" if cancelled else repr(became)


def check_picture(made: tool.RunResult) -> None:
    (picture,) = made.products
    graph = json.loads(opened(picture).info["prompt"])
    inputs = [node["inputs"] for node in graph.values()]
    assert any(given.get("seed") == SEED for given in inputs)
    assert any(given.get("text") == PROMPT for given in inputs)


def check_others(world: World) -> None:
    """Nobody else's job was touched: where its server still knows it, it ended well."""
    for server in world.servers:
        for job in world.others & set(server.history):
            assert server.history[job]["status"]["status_str"] == "success"
        assert not world.others & set(server.deleted)
        assert all(body and body["prompt_id"] not in world.others for body in server.interrupts)


@pytest.mark.parametrize(("fault", "required"), rows(ALONE))
async def test_a_lone_server(fault: str, required: dict[str, str]) -> None:
    await check(fault, required, 1)


@pytest.mark.parametrize(("fault", "required"), rows(TWO_SERVERS))
async def test_a_second_server_that_is_well(fault: str, required: dict[str, str]) -> None:
    await check(fault, required, 2)


# --- what no cell can show ---


async def test_a_look_at_the_queue_from_before_the_post_says_nothing_about_the_job() -> None:
    """Look-ups share their answers; one that another call asked for a moment earlier does not know this job yet."""
    async with made_world(1, 10.0) as world:
        world.begin()
        world.go_on()
        await world.call  # what has to be asked before a post is known now
        world.first.misbehave.hold_at_step = 1
        world.first.engine.cache.clear()
        world.timing = dataclasses.replace(PATIENCE, first=0.0, settle=0.0)
        async with tool.open_server(tool.Endpoint(world.proxy.url)) as server:
            await server.queue(time.monotonic())
        world.begin()
        await world.first.until_held()
        await asyncio.sleep(0.2)
        world.go_on()
        await world.call
        assert len(world.posted) == 2
