"""The tests, in folders that mirror src/comfyui_chat. They import the built file, since that is what ships.

So it is built first, once: by the process that controls the workers, never by a worker.
"""

import os

import build

if "PYTEST_XDIST_WORKER" not in os.environ and build.main([]):
    raise SystemExit("comfyui_tool.py could not be built from src/: see above.")
