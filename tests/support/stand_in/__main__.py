"""python -m tests.support.stand_in --port 8188 --release 0.33.0 --step-seconds 0.1"""

from __future__ import annotations

import argparse
import asyncio
import contextlib

from .release import RELEASES
from .server import StandIn


async def serve(arguments: argparse.Namespace) -> None:
    async with StandIn(**vars(arguments)) as comfy:
        print(f"ComfyUI stand-in {arguments.release} at {comfy.url}", flush=True)
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8188)
    parser.add_argument("--release", choices=sorted(RELEASES), default="0.33.0")
    parser.add_argument("--step-seconds", type=float, default=0.1)
    parser.add_argument("--load-seconds", type=float, default=0.0)
    parser.add_argument("--preview-method")
    parser.add_argument("--api-key")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
