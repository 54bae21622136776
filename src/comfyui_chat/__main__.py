"""`python -m comfyui_chat`, with `src` on the path, does what `python comfyui_tool.py` does.

`install` sends the built file all the same, as `build.py` wrote it last.
"""

import sys

from .command_line import main

if __name__ == "__main__":
    sys.exit(main())
