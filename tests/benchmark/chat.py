"""Row 2: when the person in the chat sees something. Row 4: what a generation costs Open WebUI and the browser.

Both in a real Open WebUI, with a model that calls at once what it is told to call, as the person's browser gets it.

- first sign: from the sent message to the first status or picture. Open WebUI's own engine shows nothing before the
  picture.
- end to picture: from the end at the server, by its history, to the finished picture in the chat. Both run on one
  clock, so a real server has to be on this machine.
- writes: rows of Open WebUI's database that are written during an answer with a picture, and times that the chat is,
  less those of an answer without a call.
- browser: bytes of all events for the answer, and the most of any two seconds while it runs, as a rate.
"""

import asyncio
import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from typing import Any

import aiohttp

from tests.support.model_server import ModelServer, ToolCall
from tests.support.open_webui import Event, OpenWebUI, Turn

from .floor import SIZE
from .history import newest
from .in_webui import both_installed, some_open_webui
from .servers import PICTURE_KB, first_server, stand_ins
from .table import Line, Measured, lines_of

SEEING = {"first sign": ("ms", 1000.0), "end to picture": ("ms", 1000.0)}
PAYING = {
    "rows written": ("", 1.0),
    "times the chat is written": ("", 1.0),
    "on the browser's socket": ("KB", 0.001),
    "at most": ("KB/s", 0.001),
}
MOST_WRITES = 4.0
MOST_RATE = 200.0  # KB/s
STEP_SECONDS = 0.05
PREVIEWED = 512  # pixels of a side, of pictures whose previews are shown
WINDOW_SECONDS = 2.0  # over which a rate is told
PAYING_GOALS = {("this tool", "times the chat is written"): MOST_WRITES, ("this tool", "at most"): MOST_RATE}
OWN_ENGINE = "Open WebUI's engine"

WRITES = "benchmark_writes"  # the table in which triggers count what is written


# Row 2.


def seeing_lines(rounds: int, webui: OpenWebUI | None = None) -> Iterator[Line]:
    """The lines of row 2. The first round is not counted: everything is new then."""
    with first_server() as url, some_open_webui(webui) as running:
        results = asyncio.run(seen(running, url, rounds + 1))
    yield from lines_of("2", {name: values[1:] for name, values in results.items()}, SEEING)


async def seen(webui: OpenWebUI, url: str, rounds: int) -> dict[str, list[Measured]]:
    """When each shows something, in turns."""
    results: dict[str, list[Measured]] = {OWN_ENGINE: [], "this tool": []}
    async with both_installed(webui, url) as model:
        for _ in range(rounds):
            model.script([ToolCall("generate_image", {"prompt": "a fox"})], then="Done.")
            results[OWN_ENGINE].append(await what_is_seen(webui, url, features={"image_generation": True}))
            model.script([a_picture(steps=2)], then="Done.")
            results["this tool"].append(await what_is_seen(webui, url, tools=["comfyui"]))
    return results


async def what_is_seen(webui: OpenWebUI, url: str, **about: Any) -> Measured:
    """One answer, and when something of it was seen."""
    turn = await webui.turn("Please", timeout=300, **about)
    shown = [event for event in turn.files_events if "/api/v1/files/" in str(event.data)]
    if not shown:
        raise SystemExit(f"No picture came: {turn.tool_results}")
    async with aiohttp.ClientSession() as session:
        (entry,) = (await newest(session, url)).values()
    times = {kind: data["timestamp"] / 1000 for kind, data in entry["status"]["messages"] if "timestamp" in data}
    signs = [event.seconds for event in turn.events if event.type in ("status", "files", "chat:message:files")]
    return {
        "first sign": signs[0],
        "end to picture": turn.began_at + shown[0].seconds - times["execution_success"],
    }


def a_picture(steps: int, size: int = SIZE) -> ToolCall:
    """The call for a picture that no server has made before."""
    seed = time.time_ns() % 10**12
    wanted = {"prompt": "a fox", "size": f"{size}x{size}", "steps": steps, "seed": seed, "workflow": "checkpoint"}
    return ToolCall("generate_image", wanted)


# Row 4.


def paying_lines(
    rounds: int, steps: Sequence[int] = (5, 30, 150), webui: OpenWebUI | None = None, step_seconds: float = STEP_SECONDS
) -> Iterator[Line]:
    """The lines of row 4."""
    with (
        stand_ins(1, PICTURE_KB, (step_seconds,), "--drawing") as (url,),
        some_open_webui(webui) as running,
        writes_counted(running),
    ):
        results = asyncio.run(paid(running, url, steps, max(1, rounds // 2)))
    for count, measured in results.items():
        yield from lines_of(f"4, {count} steps", {"this tool": measured}, PAYING, PAYING_GOALS, compared=False)


async def paid(webui: OpenWebUI, url: str, steps: Sequence[int], rounds: int) -> dict[int, list[Measured]]:
    """What pictures of so many steps cost."""
    results: dict[int, list[Measured]] = {count: [] for count in steps}
    async with both_installed(webui, url) as model:
        await one_answer(webui, model, a_picture(2))  # everything is new then
        nothing = await one_answer(webui, model)
        for _ in range(rounds):
            for count in steps:
                picture = await one_answer(webui, model, a_picture(count, PREVIEWED))
                less = {name: picture[name] - nothing[name] for name in list(PAYING)[:2]}
                results[count].append({**picture, **less})
    return results


async def one_answer(webui: OpenWebUI, model: ModelServer, *calls: ToolCall) -> Measured:
    """What an answer with these calls costs."""
    await asyncio.to_thread(in_database, webui, f"DELETE FROM {WRITES}")
    model.script(calls, then="Done.")
    turn = await webui.turn("Please", tools=["comfyui"], timeout=300)
    if calls and not turn.files:
        raise SystemExit(f"No picture came: {turn.tool_results}")
    written = await asyncio.to_thread(in_database, webui, f"SELECT COUNT(*), SUM(name = 'chat') FROM {WRITES}")
    sent = sizes(turn)
    total = sum(size for _, size in sent)
    most = highest_rate(sent)
    return dict(zip(PAYING, (*map(float, written[0]), float(total), most), strict=True))


def sizes(turn: Turn) -> list[tuple[float, int]]:
    """When each event came, and how large it was."""
    return [(event.seconds, len(json.dumps(Event._asdict(event)))) for event in turn.events]


def highest_rate(sent: Sequence[tuple[float, int]]) -> float:
    """The most bytes within two seconds, by second."""
    starts = [seconds for seconds, _ in sent]
    return max(
        sum(size for seconds, size in sent if start <= seconds < start + WINDOW_SECONDS) / WINDOW_SECONDS
        for start in starts
    )


@contextlib.contextmanager
def writes_counted(webui: OpenWebUI) -> Iterator[None]:
    """Have every write of a row noted by the name of its table."""
    tables = [name for (name,) in in_database(webui, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    counted = [name for name in tables if not name.startswith(("sqlite_", "chat_write_log"))]
    triggers = {f"benchmark_{kind}_{name}": (kind, name) for kind in ("INSERT", "UPDATE", "DELETE") for name in counted}
    in_database(webui, f"CREATE TABLE {WRITES} (name TEXT)")
    for trigger, (kind, name) in triggers.items():
        body = f"BEGIN INSERT INTO {WRITES} VALUES ('{name}'); END"
        in_database(webui, f'CREATE TRIGGER "{trigger}" AFTER {kind} ON "{name}" {body}')
    try:
        yield
    finally:
        for trigger in triggers:
            in_database(webui, f'DROP TRIGGER "{trigger}"')
        in_database(webui, f"DROP TABLE {WRITES}")


def in_database(webui: OpenWebUI, statement: str) -> list[Any]:
    """What Open WebUI's database answers."""
    path = webui.data_dir / "webui.db"
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as database, database:
        return database.execute(statement).fetchall()
