"""A server with a gallery: templates in the shape in which ComfyUI's index tells of them, of which some can run."""

from typing import Any

from tests.support.runs import small_graph
from tests.support.stand_in import StandIn

# A node that makes a mesh of a picture; the real ones do it in ten steps.
MESH_OF_PICTURE: dict[str, Any] = {
    "input": {"required": {"image": ["IMAGE"], "ckpt_name": [["hunyuan3d-v2.safetensors"], {}]}},
    "input_order": {"required": ["image", "ckpt_name"]},
    "output": ["MESH"],
    "output_is_list": [False],
    "output_name": ["MESH"],
    "name": "MeshOfPicture",
    "display_name": "Mesh of a picture",
    "description": "",
    "python_module": "nodes",
    "category": "3d",
    "output_node": False,
}

# The same by a partner's service.
PAID_MESH = MESH_OF_PICTURE | {"name": "PaidMesh", "display_name": "Mesh service", "api_node": True}
NODES = {"MeshOfPicture": MESH_OF_PICTURE, "PaidMesh": PAID_MESH}


def template(name: str, title: str, tags: list[str], models: list[str], **more: Any) -> dict[str, Any]:
    """A template as the index of ComfyUI 0.33.0 tells of it."""
    return {
        "name": name,
        "title": title,
        "description": f"{title}, described.",
        "mediaType": "image",
        "mediaSubtype": "webp",
        "tags": tags,
        "models": models,
        "date": "2025-11-27",
        "size": 20830591386,
        "usage": 0,
        "searchRank": 0,
        "openSource": True,
        "io": {"outputs": [{"nodeId": 9, "nodeType": "SaveImage", "file": "x.png", "mediaType": "image"}]},
        "username": "ComfyUI",
    } | more


def group(title: str, *templates: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A group of the index."""
    return {
        "moduleName": "default",
        "category": "GENERATION TYPE",
        "icon": "icon",
        "title": title,
        "type": "image",
        "templates": list(templates),
    } | more


def taking(kind: str) -> dict[str, Any]:
    """What the index tells of a template that is given such a file."""
    return {"inputs": [{"nodeId": 2, "nodeType": "LoadImage", "file": "x.png", "mediaType": kind}]}


def mesh_graph(ckpt_name: str = "hunyuan3d-v2.safetensors", node: str = "MeshOfPicture") -> dict[str, Any]:
    """A graph that makes a mesh of a picture by this node."""
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
        "2": {"class_type": node, "inputs": {"image": ["1", 0], "ckpt_name": ckpt_name}},
        "3": {"class_type": "SaveGLB", "inputs": {"mesh": ["2", 0], "filename_prefix": "mesh"}},
    }


def with_gallery(comfy: StandIn) -> StandIn:
    """The server with six templates and an example: of what is free, "tiny_portrait", "tiny_sketch" and
    "3d_hunyuan_image_to_model" can run."""
    comfy.gallery = [
        group(
            "Image",
            template("tiny_sketch", "Tiny: Sketch", ["Text to Image"], ["Tiny"], usage=10),
            template("tiny_portrait", "Tiny: Portraits", ["Text to Image", "Portrait"], ["Tiny"], usage=500),
            template("tiny_absent", "Tiny: Detailed", ["Text to Image"], ["Tiny"], usage=900),
            template("image_wondrous", "Wondrous: Text to Image", ["Text to Image"], ["Wondrous"], usage=50),
        ),
        group(
            "3D Model",
            template(
                "api_mesh_image_to_model",
                "Mesh Service: Image to Model",
                ["3D", "API", "Image to 3D"],
                ["Mesh Service"],
                openSource=False,
                size=0,
                usage=9000,
                io=taking("image"),
            ),
            template(
                "3d_hunyuan_image_to_model",
                "Hunyuan: Image to Model",
                ["3D", "Image to 3D"],
                ["Hunyuan3D"],
                usage=7,
                io=taking("image"),
            ),
            type="3d",
        ),
    ]
    comfy.template_files = {
        "tiny_sketch": small_graph(comfy, ckpt_name="tiny.safetensors"),
        "tiny_portrait": small_graph(comfy, ckpt_name="tiny2.safetensors"),
        "tiny_absent": small_graph(comfy, ckpt_name="tiny9.safetensors"),
        "image_wondrous": small_graph(comfy, ckpt_name="wondrous.safetensors"),
        "api_mesh_image_to_model": mesh_graph(node="PaidMesh"),
        "3d_hunyuan_image_to_model": mesh_graph(),
        "ComfyUI-Lens/lens blur": small_graph(comfy, ckpt_name="tiny.safetensors"),
    }
    return comfy


def files_read(comfy: StandIn) -> list[str]:
    """The files of templates that were asked for, in order."""
    paths = [request.path for request in comfy.requests]
    return [
        path
        for path in paths
        if path.startswith(("/templates/", "/api/workflow_templates/")) and path != "/templates/index.json"
    ]
