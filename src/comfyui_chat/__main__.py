"""`python -m comfyui_chat`, with `src` on the path, is what `python comfyui_tool.py` is for the built file."""

import sys

from .command_line import main

if __name__ == "__main__":
    sys.exit(main())
