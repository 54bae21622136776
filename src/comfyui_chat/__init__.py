"""
title: ComfyUI
author: The ComfyUI tool's authors
description: Any ComfyUI workflow from any model in any chat: queue position, percentage and live preview on the way.
version: 0.1.0
licence: MIT
required_open_webui_version: 0.9.6
"""

# The lines above are the front matter that Open WebUI reads: they have to be the first of the built file.
#
# MIT License. See LICENSE beside this file in its repository; the notice and the permission stay with every copy.
