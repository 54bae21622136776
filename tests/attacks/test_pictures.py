"""Hostile pictures, films, sounds and models, from users and from servers.

A small file may cost whoever reads it minutes of CPU or gigabytes of memory. Whatever is done with any of them ends
well or with an error of the tool, within bounds of CPU and memory, and never on the event loop.
"""

import asyncio
import contextlib
import gc
import struct
import threading
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

import comfyui_tool as tool
from tests.attacks import hostile_files as hostile
from tests.attacks.hostile import HostileServer
from tests.attacks.house import House, valves

pytestmark = pytest.mark.real_clock  # the hostile server has an event loop of its own

MOST_CPU = 2.0  # seconds
MOST_MEMORY = 300.0  # MB above what the process had
LONGEST_STRETCH = 0.1  # seconds of CPU on the event loop

EMPTY_TEXT = hostile.chunk(b"zTXt", b"a\0\0" + zlib.compress(b""))
TEXT_BOMB = hostile.chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**20)))
LARGE_TEXT_BOMB = hostile.chunk(b"zTXt", b"prompt\0\0" + hostile.black(64 * 2**20))
PROFILE_BOMB = hostile.chunk(b"iCCP", b"a\0\0" + hostile.black(64 * 2**20))
EXIF = b"Exif\0\0" + hostile.directory(3000, 60_000, 60_100)
PHOTOSHOP = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0\0\0\0\0" * 5000

PICTURES: dict[str, Callable[[], bytes]] = {
    "a PNG of empty chunks": lambda: hostile.png(before=hostile.chunk(b"abCd") * 600_000),
    "a PNG of empty chunks behind its pixels": lambda: hostile.png(behind=hostile.chunk(b"abCd") * 40_000),
    "a PNG of empty pixels": lambda: hostile.png(before=hostile.chunk(b"IDAT") * 40_000),
    "a PNG of empty texts": lambda: hostile.png(before=EMPTY_TEXT * 40_000),
    "a PNG of texts that unpack": lambda: hostile.png(before=TEXT_BOMB * 10),
    "a PNG of a text that unpacks": lambda: hostile.png(before=LARGE_TEXT_BOMB),
    "a PNG of a profile that unpacks": lambda: hostile.png(before=PROFILE_BOMB),
    "a PNG of EXIF data that stands for gigabytes": lambda: hostile.png(
        before=hostile.chunk(b"eXIf", hostile.directory(60_000, 700_000, 720_100))
    ),
    "a PNG of many frames": lambda: hostile.animated_png(40_000),
    "a PNG of many pixels": lambda: hostile.png(13_000),
    "a PNG of many pixels, see-through": lambda: hostile.png(13_000, 6),
    "an icon with a PNG of many pixels": lambda: hostile.icon(hostile.png(13_000)),
    "an icon with a PNG of many chunks": lambda: hostile.icon(hostile.png(before=hostile.chunk(b"abCd") * 40_000)),
    "a JPEG of empty segments": lambda: hostile.jpeg(hostile.segment(0xE5) * 600_000),
    "a JPEG of bytes that fill up": lambda: hostile.jpeg(b"\xff" * 10_000_000),
    "a JPEG of zeros between its segments": lambda: hostile.jpeg(hostile.segment(0xE5) + bytes(10_000_000)),
    "a JPEG of long EXIF data": lambda: hostile.jpeg(hostile.segment(0xE1, b"Exif\0\0".ljust(65_000, b"a")) * 300),
    "a JPEG of EXIF data that stands for more": lambda: hostile.jpeg(hostile.segment(0xE1, EXIF)),
    "a JPEG of a list of pictures that stands for more": lambda: hostile.jpeg(
        hostile.segment(0xE2, b"MPF\0" + EXIF[6:])
    ),
    "a JPEG of what Photoshop writes": lambda: hostile.jpeg(hostile.segment(0xED, PHOTOSHOP) * 300),
    "a JPEG of colour profiles": lambda: hostile.jpeg(
        hostile.segment(0xE2, b"ICC_PROFILE\0\1\1".ljust(65_000, b"a")) * 300
    ),
    "a JPEG of many scans": lambda: hostile.scans(200),
    "a GIF of many frames": lambda: hostile.gif(hostile.GIF_FRAME * 60_000),
    "a GIF of many comments": lambda: hostile.gif(b"\x21\xfe\1a\0" * 60_000 + hostile.GIF_FRAME),
    "a GIF of a long comment": lambda: hostile.gif(b"\x21\xfe" + b"\xff".ljust(256, b"a") * 60_000 + b"\0"),
    "a GIF of small blocks": lambda: hostile.gif(hostile.GIF_FRAME[:-1] + b"\1a" * 2_100_000 + b"\0"),
    "a WebP of many frames": lambda: hostile.webp(60_000),
    "a TIFF of many pages": lambda: hostile.pages(5000),
    "a TIFF of many entries": lambda: hostile.directory(60_000, 700_000, 720_100),
    "a TIFF of many strips": lambda: hostile.strips(400_000),
    "a PPM of a long comment": lambda: b"P6\n#" + b"a" * 40_000_000,
    "a PPM of numbers as text": lambda: b"P3\n4000 4000\n255\n" + b"1 " * 6_000_000,
    "a PSD of what programs wrote": lambda: hostile.psd(b"8BIM\x04\x04\0\0\0\0\0\0" * 1_000_000),
    "a JPEG 2000 of many boxes": lambda: hostile.jpeg2000(hostile.box(b"free") * 1_000_000),
    "a BMP of run lengths": lambda: hostile.bmp(b"\1\0" * 6_000_000),
    "an icon of many entries": lambda: b"icns" + struct.pack(">I", 8_000_008) + b"abcd\0\0\0\x08" * 1_000_000,
    "an icon with a BMP of many pixels": lambda: hostile.windows_icon(13_000),
}
OTHERS: dict[str, Callable[[], bytes]] = {
    "a film of many boxes": lambda: hostile.boxes(600_000),
    "a film of boxes in boxes": lambda: hostile.boxes_in_boxes(100_000),
    "a film of one large box": lambda: hostile.large_box(64 * 2**20),
    "a WebM of many elements": lambda: hostile.elements(600_000),
    "a sound whose comments do not end": lambda: hostile.ogg(1000),
    "a sound of empty pages": lambda: hostile.ogg(0, 600_000),
    "a sound of many blocks": lambda: b"fLaC" + bytes(2_400_000),
    "a sound of many tags": lambda: b"\xff\xfb\x90\x00" + b"TAG".ljust(128, b"\0") * 600_000,
    "a drawing of many texts": lambda: b"<svg>" + b"<metadata></metadata>" * 600_000,
    "a model with a long text": lambda: hostile.glb(4_000_000),
    "a latent with a long text": lambda: hostile.safetensors(4_000_000),
}

# --- what each costs ---


def memory(which: str) -> float:
    """Megabytes that this process has ("VmRSS"), or had at most since that was reset ("VmHWM")."""
    status = Path("/proc/self/status").read_text("utf-8")
    line = next(line for line in status.splitlines() if line.startswith(which))
    return int(line.split()[1]) / 1024


@dataclass
class Cost:
    """What something took: seconds of CPU, and megabytes above what the process had."""

    cpu: float = 0.0
    memory: float = 0.0


@contextlib.contextmanager
def measured() -> Iterator[Cost]:
    """The cost of what is done inside."""
    cost = Cost()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", "utf-8")
    before, begin = memory("VmRSS"), time.process_time()
    yield cost
    cost.cpu = time.process_time() - begin
    cost.memory = memory("VmHWM") - before


USES: dict[str, Callable[[bytes], object]] = {
    "as an input": lambda data: tool.read_input(data, "a"),
    "as an attached workflow": lambda data: tool.read_picture_workflow(data, "a"),
    "as the page of one": tool.read_picture_page,
    "as an output made a WebP": lambda data: tool.deliver(tool.FileBytes(data), "a", tool.Format("WebP")),
    "as an output made a JPEG without metadata": lambda data: tool.deliver(
        tool.FileBytes(data), "a", tool.Format("JPEG", 90, False)
    ),
    "as what a model is shown": tool.small_copy,
}


def costs_too_much(use: Callable[[bytes], object], data: bytes) -> str:
    """What a use of a file costs, where that is too much; "" where it is not. An error of ours is as good as an
    answer."""
    with warnings.catch_warnings(), measured() as cost:
        warnings.simplefilter("ignore")
        with contextlib.suppress(tool.ComfyUIError):
            use(data)
    if cost.cpu < MOST_CPU and cost.memory < MOST_MEMORY:
        return ""
    return f"{cost.cpu:.1f} s, {cost.memory:.0f} MB"


@pytest.mark.parametrize("name", [*PICTURES, *OTHERS])
def test_a_hostile_file_costs_little_whatever_is_done_with_it(name: str) -> None:
    data = (PICTURES | OTHERS)[name]()
    costs = {use: costs_too_much(function, data) for use, function in USES.items()}
    assert {use: cost for use, cost in costs.items() if cost} == {}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", [name for name in PICTURES if name != "a PNG of texts that unpack"])
def test_a_hostile_picture_is_refused_as_an_input_and_delivered_untouched(name: str) -> None:
    data = PICTURES[name]()
    with pytest.raises(tool.ComfyUIError):
        tool.read_still(data, "a")
    made, _ = tool.deliver(tool.FileBytes(data), "a", tool.Format("WebP"))
    assert made.data.whole() == data


# --- large pictures one after another ---


def test_a_large_picture_waits_for_another_large_one_and_a_small_one_does_not() -> None:
    large, small = Image.new("1", (4000, 4000)), Image.new("1", (400, 400))
    entered = threading.Event()

    def enter() -> None:
        with tool.room_for(large):
            entered.set()

    thread = threading.Thread(target=enter)
    with tool.room_for(large):
        thread.start()
        with tool.room_for(small):
            assert not entered.wait(0.05)
    thread.join(10)
    assert entered.is_set()


# --- in Open WebUI ---


@contextlib.contextmanager
def watched_loop() -> Iterator[list[float]]:
    """Notes each stretch of CPU, in seconds, that this thread's event loop spends on one callback inside."""
    stretches = [0.0]
    loop_thread = threading.get_ident()
    run_handle = asyncio.Handle._run

    def run(handle: asyncio.Handle) -> None:
        begin = time.thread_time()
        run_handle(handle)
        if threading.get_ident() == loop_thread:  # not that of the hostile server
            stretches.append(time.thread_time() - begin)

    gc.collect()
    gc.disable()  # its rounds go through all that pytest holds
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncio.Handle, "_run", run)
            yield stretches
    finally:
        gc.enable()


SENT = {"a PNG of empty chunks": 2, "a PNG of many pixels": 10, "a WebM of many elements": 2}  # times


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", SENT)
async def test_hostile_outputs_reach_the_user_and_hold_nobody_up(home: House, server: HostileServer, name: str) -> None:
    data = (PICTURES | OTHERS)[name]()
    names = [f"{number}.png" for number in range(SENT[name])]
    server.outputs = {"1": {"images": [{"filename": each, "subfolder": "", "type": "output"} for each in names]}}
    server.files["*"] = data
    with watched_loop() as stretches, measured() as cost:
        answer = await home.call(
            "run_workflow", workflow="w", valves=valves(server, picture_format="WebP", strip_metadata=True)
        )
    assert answer["status"] == "done", answer
    assert [stored.size for stored in home.stored] == [len(data)] * len(names)
    assert max(stretches) < LONGEST_STRETCH
    assert cost.memory < MOST_MEMORY


TAKES_A_PICTURE = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
    "2": {"class_type": "Maker", "inputs": {"text": "a fox", "seed": 1, "image": ["1", 0]}},
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", [name for name in SENT if name in PICTURES])
async def test_a_hostile_picture_of_a_user_is_refused_and_holds_nobody_up(
    home: House, server: HostileServer, name: str
) -> None:
    ids = [home.put(PICTURES[name]()) for _ in range(4)]
    with watched_loop() as stretches:
        answer = await home.call("run_workflow", workflow="w", images=ids, valves=valves(server, TAKES_A_PICTURE))
    assert answer["code"] in ("limit_exceeded", "bad_argument"), answer
    assert max(stretches) < LONGEST_STRETCH
    assert server.prompts == []
