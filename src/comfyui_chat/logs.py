"""The tool's logger.

Open WebUI loads the tool under a new module name every time; the logger's name stays the same.
"""

import logging

log = logging.getLogger("comfyui_tool")
