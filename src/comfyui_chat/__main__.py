"""`python -m comfyui_chat`, with `src` on the path, does what `python comfyui_tool.py` does, but for `install`.

Only the built file can install itself.
"""

import sys

from .command_line import main

if __name__ == "__main__":
    sys.exit(main())
