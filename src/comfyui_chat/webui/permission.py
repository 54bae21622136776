"""Who may use the tool: what administrators are told of its sharing, and Open WebUI's permission to
make images.

A tool that is pasted into Open WebUI is its creator's alone, and other users do not find it. The
permission is for the valve that has it count here as well: administrators give it to all users
(Admin Panel > Users > Groups > Default permissions > Image Generation), or to groups. Open WebUI's
`has_permission` tells whether a user has it; the defaults for all users are handed to it, and stand
in its settings under `user.permissions`. Facts are those of Open WebUI 0.9.6 to 0.12.4; what cannot
be found in another release is no permission.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from ..errors import NotPermitted
from ..logs import log
from ..tasks import ANSWER_SECONDS
from .releases import stored_settings

IMAGE_PERMISSION = "features.image_generation"
FOR_ALL = "user.permissions"  # Open WebUI's setting: what every user may do
WHERE_GIVEN = (
    f"Only an administrator can give it ({IMAGE_PERMISSION}): Admin Panel > Users > Groups, in the default permissions "
    "or in a group of the user."
)


# Where a tool is shared, in the words of Open WebUI's page. Created there, it is its creator's
# alone.
SHARING = "Workspace > Tools > ComfyUI > Access: Public instead of Private, or Add Access for groups and users"


async def sharing_told(tool_id: str | None) -> str:
    """For an administrator: how to share this tool, while nobody else can use it; "" where somebody
    can, or nobody tells.
    """
    if not tool_id:
        return ""
    try:
        from open_webui.models import tools

        async with asyncio.timeout(ANSWER_SECONDS):
            stored = await tools.Tools.get_tool_by_id(tool_id)
        is_shared = stored is None or bool(stored.access_grants)
    except Exception as error:  # whatever another release has in its place
        log.info("Open WebUI does not tell who may use the tool: %s", type(error).__name__)
        return ""
    if is_shared:
        return ""
    return f"Only administrators and whoever created this tool can use it. To share it: {SHARING}."


async def require_image_permission(request: Any, user: Mapping[str, Any]) -> None:
    """Raise `NotPermitted` unless Open WebUI lets the user make images. Administrators always
    may.
    """
    if user.get("role") == "admin":
        return
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            is_permitted = await _has_permission(request, str(user.get("id") or ""))
    except Exception as error:  # whatever another release has in its place
        log.warning("Open WebUI does not tell who may make images: %s", type(error).__name__)
        raise NotPermitted(
            f"Open WebUI does not tell whether the user has its permission {IMAGE_PERMISSION}, which is required here.",
            "The administrator can switch off the valve that requires it, or update Open WebUI or this tool.",
        ) from None
    if not is_permitted:
        raise NotPermitted(
            'The user lacks Open WebUI\'s permission "Image Generation".', WHERE_GIVEN
        )


async def _has_permission(request: Any, user_id: str) -> bool:
    from open_webui.utils.access_control import has_permission

    stored = await stored_settings(request, {FOR_ALL: "USER_PERMISSIONS"})
    return bool(await has_permission(user_id, IMAGE_PERMISSION, stored[FOR_ALL] or {}))
