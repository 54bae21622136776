"""What the tool promises to those who use it: the methods that a model can call, and the errors that it may answer."""

import comfyui_tool as tool

METHODS = ["generate_image", "edit_image", "upscale_image", "run_workflow"]
METHODS += ["list_workflows", "describe_workflow", "list_models", "check_job", "comfyui_status"]


def all_errors(base: type[tool.ComfyUIError] = tool.ComfyUIError) -> list[type[tool.ComfyUIError]]:
    """Every class of error below one."""
    return [kind for sub in base.__subclasses__() for kind in (sub, *all_errors(sub))]
