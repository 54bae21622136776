"""logs."""

import logging

log = logging.getLogger("comfyui_tool")  # Open WebUI gives the module a new name at every load; this one stays
