"""Row 5: what grows with what people have: a large workflow, a large catalogue, many calls, full servers.

- 2,000 nodes: CPU to find the parameters of the graph (read), and to set some and index what came of it (bind).
- catalogue: CPU to list 700 workflows that are saved on a server and to find one, the first time and again.
- later calls: CPU of a call after so many others in the same process, against the first ones; 300 by default, and
  10,000 with ``--whole``.
- full servers: CPU of a call on a server with 3,725 node classes and 20,000 models, or 5,000 jobs in its history,
  against that on a server with little; and of a look at a queue of 5,000.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import comfyui_tool as tool

from .contenders import run_contender
from .servers import stand_ins
from .table import Line, in_turns, lines_of

GRAPH_GOAL = 100.0  # ms
STALL_GOAL = 50.0  # ms
LATER_GOAL = 1.2  # times the CPU of a call in a new process, on a server with little
SMALL_KB = 20


@dataclass(frozen=True)
class Full:
    """How much a server has that has everything."""

    classes: int
    models: int
    jobs: int  # in its history, or in its queue


FULL = Full(classes=3725, models=20_000, jobs=5000)


def large_graph(nodes: int) -> dict[str, Any]:
    """Chains of a loader, two encoders, a sampler and what saves its picture, side by side."""
    graph: dict[str, Any] = {}
    for number in range(0, nodes, 7):
        loader, positive, negative, latent, sampler, decoded, saved = (str(number + place) for place in range(7))
        prompt = {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", "clip": [loader, 1]}}
        graph[loader] = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a.safetensors"}}
        graph[positive] = graph[negative] = prompt
        graph[latent] = {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512, "batch_size": 1}}
        links = {
            "model": [loader, 0],
            "positive": [positive, 0],
            "negative": [negative, 0],
            "latent_image": [latent, 0],
        }
        graph[sampler] = {"class_type": "KSampler", "inputs": {"seed": number, "steps": 20, "cfg": 7.0, **links}}
        graph[decoded] = {"class_type": "VAEDecode", "inputs": {"samples": [sampler, 0], "vae": [loader, 2]}}
        graph[saved] = {"class_type": "SaveImage", "inputs": {"images": [decoded, 0], "filename_prefix": "fox"}}
    return graph


def cpu_ms(work: Callable[[], object], rounds: int) -> list[float]:
    """The CPU of a piece of work, in ms, so many times."""
    measured: list[float] = []
    for _ in range(rounds):
        begun = time.process_time()
        work()
        measured.append((time.process_time() - begun) * 1000)
    return measured


def lines(rounds: int, nodes: int = 2000, workflows: int = 700, calls: int = 300, full: Full = FULL) -> Iterator[Line]:
    """The lines of row 5."""
    graph = large_graph(nodes)
    workflow = tool.Workflow.parse("large", graph)
    values = {"prompt": "a bear", "steps": 8, "seed": 7}

    def bind() -> None:
        workflow.bind(values).flow.needed()

    read = cpu_ms(lambda: tool.Workflow.parse("large", graph), rounds)
    yield Line(f"5, {nodes} nodes, read", "this tool", read, "ms CPU", goal=GRAPH_GOAL)
    yield Line(f"5, {nodes} nodes, bind", "this tool", cpu_ms(bind, rounds), "ms CPU", goal=GRAPH_GOAL)
    paths = [f"folder/workflow {number}.json" for number in range(workflows)]
    listed = cpu_ms(lambda: tool.Listing.of((), paths, (), tool.ALL_ALLOWED), rounds)
    yield Line(f"5, {workflows} workflows, listed", "this tool", listed, "ms CPU")
    listing = tool.Listing.of((), paths, (), tool.ALL_ALLOWED)
    found = cpu_ms(lambda: listing.find("Workflow 650"), rounds)
    yield Line(f"5, {workflows} workflows, found", "this tool", found, "ms CPU")
    yield from lines_of_later_calls(rounds, calls)
    yield from lines_of_full_servers(rounds, full)


def lines_of_later_calls(rounds: int, calls: int) -> Iterator[Line]:
    """A call after so many others in the same process, against the first ones."""
    with stand_ins(1, SMALL_KB) as urls:
        first = [run_contender("tool", "one", 10, urls)["CPU"] * 1000 for _ in range(rounds)]
        later = [run_contender("tool", "one", calls, urls)["CPU"] * 1000 for _ in range(max(1, rounds // 2))]
    base = Line("5, call, CPU", "this tool, first 10", first, "ms")
    yield base
    yield Line("5, call, CPU", f"this tool, {calls}", later, "ms", base.median, LATER_GOAL)


def lines_of_full_servers(rounds: int, full: Full) -> Iterator[Line]:
    """A call on a server with much of everything, against one on a server with little, in turns; and a look at a long
    queue."""
    installed = ("--classes", str(full.classes), "--models", str(full.models))
    with (
        stand_ins(1, SMALL_KB) as little,
        stand_ins(1, SMALL_KB, (0.0,), *installed) as much,
        stand_ins(1, SMALL_KB, (0.0,), "--done", str(full.jobs)) as old,
        stand_ins(1, SMALL_KB, (0.0,), "--waiting", str(full.jobs)) as busy,
    ):
        contenders = {
            "this tool, little": partial(run_contender, "tool", "one", 10, little),
            f"this tool, {full.classes} classes, {full.models} models": partial(run_contender, "tool", "one", 10, much),
            f"this tool, {full.jobs} in the history": partial(run_contender, "tool", "one", 10, old),
        }
        goals = {(name, "CPU"): LATER_GOAL for name in list(contenders)[1:]}
        cpu = {"CPU": ("ms", 1000.0)}
        yield from lines_of("5, full server", in_turns(contenders, rounds), cpu, goals)
        look = partial(run_contender, "tool", "queue", 5)
        looks = {"this tool, nothing waits": partial(look, little), f"this tool, {full.jobs} wait": partial(look, busy)}
        stalls = {(name, "stall, CPU"): STALL_GOAL for name in looks}
        units = {**cpu, "stall, CPU": ("ms", 1000.0)}
        yield from lines_of("5, queue", in_turns(looks, rounds), units, stalls, compared=False)
