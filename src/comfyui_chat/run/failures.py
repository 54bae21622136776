"""The errors of nodes, told so that somebody can act on them.

`run_error` makes the error of a run out of what the node that failed reported. Three kinds are
known by their words, which come from PyTorch, safetensors, numpy and the drivers, and differ from
card to card:

- memory that ran out, the graphics card's or the computer's (`OutOfMemory`);
- a model file that cannot be loaded (`ModelUnusable`), with its name, since the words of the
  libraries, such as "header too small", name neither the file nor what to do. They were recorded
  from ComfyUI 0.3.64 and 0.33.0 with files cut short, empty ones, web pages and pointers of Git LFS
  under a model's name, and models in the wrong folder;
- an account that lacks credits (`PaymentRequired`).
"""

import re
from collections.abc import Mapping

from ..errors import ModelUnusable, NodeFailed, OutOfMemory, PaymentRequired, RunFailed
from ..graph.nodes import Graph, Target, is_link, node_title
from ..names import MODEL_FILE, quoted, shortened
from ..server.cloud import UNPAID
from ..server.protocol import Failed

# The computer's memory, in the words of the CPU's allocator, numpy, Python, Linux and Windows.
MAIN_MEMORY = re.compile(
    r"DefaultCPUAllocator|alloc_cpu|Unable to allocate .{1,60} for an array|paging file is too small|os error 1455"
    r"|bad_alloc|bad allocation|Cannot allocate memory",
    re.IGNORECASE,
)
# The graphics card's, in the words of CUDA, ROCm, cuBLAS, cuDNN, DirectML, Apple's and Intel's
# cards.
CARD_MEMORY = re.compile(
    r"out of memory|not enough (?:GPU )?(?:video )?memory|memory ?allocation failure|Invalid buffer size"
    r"|(?:CUBLAS|CUDNN|CUSOLVER|CUSPARSE|HIPBLAS|ROCBLAS)_STATUS_ALLOC_FAILED|rocblas_status_memory_error"
    r"|OUT_OF_(?:DEVICE_|HOST_)?MEMORY|OUT_OF_RESOURCES|cudaErrorMemoryAllocation|failed to allocate",
    re.IGNORECASE,
)
OUT_OF_MEMORY_TYPES = ("OutOfMemoryError", "OOMError", "OutOfMemory")
MAIN_MEMORY_TYPES = ("MemoryError", "_ArrayMemoryError")

# What a file is that cannot be loaded, by the words of whatever read it; the first that fit.
A_LORA = re.compile(r"seems to be a Lora file", re.IGNORECASE)
NOT_SAFE = re.compile(
    r"Unsupported (?:global|class)|weights_only.{0,200}GLOBAL", re.IGNORECASE | re.DOTALL
)
DAMAGED = re.compile(
    r"deserializing header|SafetensorError|file not fully covered|UnpicklingError|Weights only load failed"
    r"|PytorchStreamReader|central directory|corrupt|EOFError|unexpected EOF|Ran out of input|magic number|GGUF magic",
    re.IGNORECASE,
)
OTHER_KIND = re.compile(
    r"Could not detect model type|UnsupportedModelError|state_dict|size mismatch for|VAE is invalid: None"
    r"|clip input is invalid: None|does not contain a valid",
    re.IGNORECASE,
)
# Nodes behind a loader say this of what it loaded: the file holds a part of a checkpoint only.
IN_PART = re.compile(r"is invalid: None|does not contain a valid", re.IGNORECASE)
NO_WHOLE_CHECKPOINT = (
    "lacks a text encoder or a VAE, so it is no whole checkpoint, and may be in the wrong folder"
)
MOST_LOADERS_BACK = 200  # nodes that are looked at for the loader of what another one got


def run_error(failure: Failed, graph: Graph) -> RunFailed | PaymentRequired:
    """The error of the node that failed, by its title and reason. Its inputs and stack trace, which
    may hold prompts and paths, stay on the server.
    """
    lines = failure.message.splitlines()
    text = lines[0] if lines else ""
    kind = failure.exception_type.rsplit(".", 1)[-1]
    where = node_title(graph, failure.node_id)
    if kind in UNPAID:
        return PaymentRequired(f"Comfy Cloud stopped the run: {shortened(text or kind, 300)}")
    if kind in MAIN_MEMORY_TYPES or MAIN_MEMORY.search(failure.message):
        return OutOfMemory(f"The computer of ComfyUI ran out of main memory in {where}.")
    if kind in OUT_OF_MEMORY_TYPES or CARD_MEMORY.search(failure.message):
        return OutOfMemory(f"The graphics card ran out of memory in {where}.")
    return _unusable_model(failure, graph) or NodeFailed(
        f"{where} failed: {shortened(text or kind or 'no reason given', 300)}"
    )


def _unusable_model(failure: Failed, graph: Graph) -> ModelUnusable | None:
    """The error for a model file that the node could not load, None where that is not what
    failed.
    """
    node = graph.get(failure.node_id)
    if node is None:
        return None
    said = f"{failure.exception_type}: {failure.message}"
    files: Mapping[Target, str] = _model_files(failure.node_id, graph)
    in_part = not files and IN_PART.search(said) is not None
    if in_part:
        files = _loaded_for(failure.node_id, graph)
    if not files:
        return None
    predicate = _what_the_file_is(said, node_title(graph, failure.node_id))
    if in_part:
        predicate = NO_WHOLE_CHECKPOINT
    if not predicate and "load" not in node["class_type"].lower():
        return None
    predicate = (
        predicate
        or f"could not be loaded: {shortened(failure.message or failure.exception_type, 200)}"
    )
    names = list(dict.fromkeys(files.values()))
    subject = f"The model file {quoted(names)}"
    if len(names) > 1:
        subject = f"One of the model files {quoted(names)}"
    return ModelUnusable(f"{subject} {predicate.rstrip('.')}.", predicate, files)


def _what_the_file_is(said: str, loader: str) -> str:
    """What a model file is, as the end of a sentence, by what was said when it was loaded; "" where
    that tells nothing.
    """
    if A_LORA.search(said):
        return 'is a LoRA, and belongs in the folder "loras"'
    if NOT_SAFE.search(said):
        return "may hold a program, so ComfyUI does not load it; the same model as a .safetensors file will do"
    if DAMAGED.search(said):
        return "is damaged or not completely downloaded"
    if OTHER_KIND.search(said):
        return f"is not a model of the kind that {loader} loads, and may be in the wrong folder"
    return ""


def _model_files(node_id: str, graph: Graph) -> dict[Target, str]:
    """The model files that a node names."""
    inputs = graph[node_id].get("inputs") or {}
    return {
        Target(node_id, name): value
        for name, value in inputs.items()
        if isinstance(value, str) and MODEL_FILE.search(value)
    }


def _loaded_for(node_id: str, graph: Graph) -> Mapping[Target, str]:
    """The model files of the nearest loader before a node: one that gets nothing from any other."""
    level, seen = [node_id], {node_id}
    while level and len(seen) < MOST_LOADERS_BACK:
        before: list[str] = []
        for each in level:
            inputs = (graph[each].get("inputs") or {}).values()
            sources = [
                str(value[0]) for value in inputs if is_link(value) and str(value[0]) in graph
            ]
            files = _model_files(each, graph)
            if files and not sources:
                return files
            before += [source for source in sources if source not in seen]
            seen.update(sources)
        level = before
    return {}
