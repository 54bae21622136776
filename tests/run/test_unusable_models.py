"""A model file that cannot be loaded: what is said of it, and that one of our own choosing does not spoil every run.

The words of the loaders were recorded from ComfyUI 0.3.64 and 0.33.0, with such files in its folders.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.runs import draw, order, pasted, record, run_wish, small_graph
from tests.support.stand_in import StandIn
from tests.support.watching import Watcher

pytestmark = pytest.mark.usefixtures("closed_servers")

Reported = tuple[str, str]  # an exception's type and message

RUST = "safetensors._safetensors_rust.SafetensorError"
HEADER = "Error while deserializing header: "
PICKLE = (
    "Weights only load failed. In PyTorch 2.6, we changed the default value of the `weights_only` argument in "
    "`torch.load` from `False` to `True`.\nPlease file an issue with the following so that we can make "
    "`weights_only=True` compatible with your use case: WeightsUnpickler error: "
)
DAMAGED: dict[str, Reported] = {
    "cut short": (RUST, f"{HEADER}incomplete metadata, file not fully covered\n"),
    "cut short in its header": (RUST, f"{HEADER}invalid header length\n"),
    "empty": (RUST, f"{HEADER}header too small\n"),
    "a web page": (RUST, f"{HEADER}header too large\n"),
    "nothing but zeros": (RUST, f"{HEADER}invalid JSON in header: EOF while parsing a value at line 1 column 0\n"),
    "cut short, of an older safetensors": (RUST, f"{HEADER}MetadataIncompleteBuffer\n"),
    "an empty .ckpt": ("EOFError", "\n"),
    "a web page as a .ckpt": ("_pickle.UnpicklingError", f"{PICKLE}\n\nUnsupported operand 60\n"),
    "a pointer of Git LFS as a .ckpt": ("_pickle.UnpicklingError", f"{PICKLE}\n\nUnsupported operand 118\n"),
    "a .ckpt cut short": (
        "RuntimeError",
        "PytorchStreamReader failed reading zip archive: failed finding central directory. This is an internal miniz "
        "error. If you are seeing this error, there is a high likelihood that your checkpoint file is corrupted.\n",
    ),
}
FOLDER = "/home/ann b/ComfyUI/models/checkpoints"
MISPLACED: dict[str, tuple[Reported, str]] = {
    "a VAE, a text encoder, SAM": (
        ("RuntimeError", f"ERROR: Could not detect model type of: {FOLDER}/broken.safetensors\n\n"),
        "is not a model of the kind that",
    ),
    "a LoRA": (
        (
            "RuntimeError",
            f"ERROR: Could not detect model type of: {FOLDER}/broken.safetensors\n\nHINT: This seems to be a Lora file "
            "and Lora files should be put in the lora folder and loaded with a lora loader node..\n",
        ),
        'is a LoRA, and belongs in the folder "loras"',
    ),
    "an upscaler that is none": (("spandrel.__helpers.registry.UnsupportedModelError", "\n"), "is not a model of"),
    "a model of another size": (
        ("RuntimeError", "Error(s) in loading state_dict for AutoencodingEngine:\n\tsize mismatch for encoder.conv_in"),
        "is not a model of the kind that",
    ),
    "a file with a program in it": (
        (
            "_pickle.UnpicklingError",
            f"{PICKLE}Unsupported global: GLOBAL pytorch_lightning.callbacks was not allowed\n",
        ),
        "may hold a program",
    ),
    "anything else": (("OSError", f"no data in {FOLDER}/broken.safetensors"), "could not be loaded: no data in broken"),
}
LOADER = {"1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sub/broken.safetensors"}}}


def told(reported: Reported, graph: dict[str, Any], node_id: str = "1") -> tool.ComfyUIError:
    kind, message = reported
    failure = tool.parse_failure({"node_id": node_id, "exception_type": kind, "exception_message": message})
    return tool.run_error(failure, graph)


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_is_named_and_told_as_one(case: str) -> None:
    error = told(DAMAGED[case], LOADER)
    assert isinstance(error, tool.ModelUnusable)
    assert error.message == 'The model file "sub/broken.safetensors" is damaged or not completely downloaded.'


@pytest.mark.parametrize("case", MISPLACED)
def test_a_file_in_the_wrong_place_is_named_without_its_path(case: str) -> None:
    reported, predicate = MISPLACED[case]
    error = told(reported, LOADER)
    assert isinstance(error, tool.ModelUnusable)
    assert error.message.startswith(f'The model file "sub/broken.safetensors" {predicate}')
    assert "/home" not in error.message


def test_of_several_files_one_is_meant() -> None:
    loader = {"class_type": "DualCLIPLoader", "inputs": {"clip_name1": "a.sft", "clip_name2": "b.sft", "type": "flux"}}
    error = told(DAMAGED["empty"], {"1": loader})
    assert error.message == 'One of the model files "a.sft", "b.sft" is damaged or not completely downloaded.'


@pytest.mark.parametrize(
    "said",
    [
        "ERROR: clip input is invalid: None\n\nIf the clip is from a checkpoint loader node your checkpoint does not "
        "contain a valid clip or text encoder model.",
        "ERROR: VAE is invalid: None\n\nIf the VAE is from a checkpoint loader node your checkpoint does not contain a "
        "valid VAE.",
    ],
)
def test_a_checkpoint_with_a_part_missing_is_named_by_the_node_that_wants_it(said: str) -> None:
    graph = {
        **LOADER,
        "2": {"class_type": "LoraLoader", "inputs": {"clip": ["1", 1], "model": ["1", 0], "lora_name": "fine.sft"}},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["2", 1], "text": "a fox"}},
    }
    error = told(("RuntimeError", said), graph, "3")
    assert error.message == (
        'The model file "sub/broken.safetensors" lacks a text encoder or a VAE, so it is no whole checkpoint, and may '
        "be in the wrong folder."
    )


def test_a_node_that_only_works_with_a_model_fails_by_itself() -> None:
    graph = {**LOADER, "2": {"class_type": "KSampler", "inputs": {"model": ["1", 0]}}}
    error = told(("ValueError", "odd"), graph, "2")
    assert isinstance(error, tool.NodeFailed)


MEMORY: dict[str, tuple[Reported, str]] = {
    "CUDA": (("torch.OutOfMemoryError", "Allocation on device 0 would exceed allowed memory. (out of memory)"), "card"),
    "CUDA, older": (("torch.cuda.OutOfMemoryError", "CUDA out of memory. Tried to allocate 2.25 GiB."), "card"),
    "CUDA, by a driver": (("RuntimeError", "CUDA error: out of memory"), "card"),
    "ROCm": (("torch.OutOfMemoryError", "HIP out of memory. Tried to allocate 64.00 MiB."), "card"),
    "cuBLAS": (
        ("RuntimeError", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        "card",
    ),
    "cuDNN": (("RuntimeError", "cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "card"),
    "DirectML": (
        (
            "RuntimeError",
            "Could not allocate tensor with 268435456 bytes. There is not enough GPU video memory available!",
        ),
        "card",
    ),
    "Apple": (("RuntimeError", "MPS backend out of memory (MPS allocated: 8.00 GB, max allowed: 9.07 GB)."), "card"),
    "Apple, one tensor": (("RuntimeError", "Invalid buffer size: 12.00 GiB"), "card"),
    "Intel": (("RuntimeError", "Native API failed. Native API returns: -5 (PI_ERROR_OUT_OF_RESOURCES)"), "card"),
    "the CPU's allocator": (
        (
            "RuntimeError",
            "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
            "allocate 13107200000 bytes. Error code 12 (Cannot allocate memory)",
        ),
        "computer",
    ),
    "the CPU's allocator on Windows": (
        (
            "RuntimeError",
            "[enforce fail at alloc_cpu.cpp:116] data. DefaultCPUAllocator: not enough memory: you tried to allocate 5 "
            "bytes.",
        ),
        "computer",
    ),
    "numpy": (
        (
            "numpy._core._exceptions._ArrayMemoryError",
            "Unable to allocate 3.22 GiB for an array with shape (81, 1280, 720, 3) and data type float32",
        ),
        "computer",
    ),
    "Python": (("MemoryError", "\n"), "computer"),
    "Windows": (
        ("OSError", "The paging file is too small for this operation to complete. (os error 1455)"),
        "computer",
    ),
}


@pytest.mark.parametrize("case", MEMORY)
def test_memory_that_ran_out_is_known_by_the_words_of_each_library(case: str) -> None:
    reported, whose = MEMORY[case]
    error = told(reported, LOADER)
    assert isinstance(error, tool.OutOfMemory)
    assert whose in error.message


# --- whose choice the file was ---


@pytest.fixture
async def damaged() -> AsyncIterator[StandIn]:
    """A server on which the first checkpoint, the one that is chosen, was not completely downloaded."""
    async with StandIn(models={"checkpoints": ["broken.safetensors", "dream.safetensors"]}) as comfy:
        comfy.misbehave.unusable_files = {"broken.safetensors": DAMAGED["cut short"]}
        yield comfy


async def test_a_damaged_file_of_our_choosing_gives_way_to_the_next(damaged: StandIn, watcher: Watcher) -> None:
    made = await draw(damaged, watcher=watcher)
    assert made.model == "dream.safetensors"
    assert made.notes == (
        'The model file "broken.safetensors" is damaged or not completely downloaded. Another one was taken',
    )
    assert "A model file cannot be loaded; another one is tried" in watcher.texts


async def test_it_is_not_chosen_by_the_next_call_either(damaged: StandIn) -> None:
    await draw(damaged)
    made = await draw(damaged, seed=8)
    assert (made.model, made.notes) == ("dream.safetensors", ())
    assert [loaded(prompt) for prompt in damaged.prompts] == ["broken.safetensors", *["dream.safetensors"] * 2]


async def test_after_a_while_it_is_tried_again(damaged: StandIn) -> None:
    await draw(damaged)
    await asyncio.sleep(tool.SET_ASIDE_SECONDS)
    damaged.misbehave.unusable_files = {}
    assert (await draw(damaged, seed=8)).model == "broken.safetensors"


async def test_where_there_is_no_other_the_error_names_it_and_says_who_chose_it(damaged: StandIn) -> None:
    damaged.misbehave.unusable_files["dream.safetensors"] = MISPLACED["a LoRA"][0]
    with pytest.raises(tool.ModelUnusable, match=r'"dream\.safetensors" is a LoRA') as raised:
        await draw(damaged)
    hint = raised.value.as_result()["hint"]
    assert "it was chosen here" in hint
    assert 'cannot be loaded either: "broken.safetensors"' in hint
    assert [loaded(prompt) for prompt in damaged.prompts] == ["broken.safetensors", "dream.safetensors"]


async def test_a_call_tries_a_few_and_the_next_call_goes_on() -> None:
    names = [f"{number}.safetensors" for number in range(6)]
    async with StandIn(models={"checkpoints": names}) as comfy:
        comfy.misbehave.unusable_files = dict.fromkeys(names[:5], DAMAGED["empty"])
        with pytest.raises(tool.ModelUnusable) as raised:
            await draw(comfy)
        assert "Call again" in raised.value.as_result()["hint"]
        assert (await draw(comfy)).model == names[5]
        assert [loaded(prompt) for prompt in comfy.prompts] == names


async def test_a_file_set_aside_is_still_better_than_none(damaged: StandIn) -> None:
    damaged.models["checkpoints"] = ["broken.safetensors"]
    with pytest.raises(tool.ModelUnusable):
        await draw(damaged)
    damaged.misbehave.unusable_files = {}
    assert (await draw(damaged)).model == "broken.safetensors"


async def test_a_workflow_whose_encoder_is_damaged_gives_way_to_another_workflow(comfy: StandIn) -> None:
    comfy.misbehave.unusable_files = {"qwen_3_4b.safetensors": DAMAGED["empty"]}
    asked = tool.Request("a fox", size=tool.Argument("64x64", "size"), steps=tool.Argument(1, "steps"))
    made = await run_wish(comfy, asked)
    assert made.workflow != "z-image-turbo"
    assert '"qwen_3_4b.safetensors" is damaged' in made.notes[0]


async def test_a_second_server_that_has_the_file_whole_takes_the_run(damaged: StandIn) -> None:
    damaged.models["checkpoints"] = ["broken.safetensors"]
    async with StandIn(models={"checkpoints": ["broken.safetensors"]}) as other:
        made = await draw(damaged, other)
        assert len(other.prompts) == 1
    assert made.model == "broken.safetensors"


NAMED = {
    "the call": (0, ""),
    "the administrator's valve": (2, 'The administrator\'s valve "Model" names it.'),
}


@pytest.mark.parametrize("who", NAMED)
async def test_a_file_that_somebody_named_is_not_exchanged(damaged: StandIn, who: str) -> None:
    level, says = NAMED[who]
    model = tool.Argument("broken.safetensors", 'The administrator\'s valve "Model"', level)
    asked = tool.Request("a fox", model=model, size=tool.Argument("64x64", "size"))
    with pytest.raises(tool.ModelUnusable) as raised:
        await run_wish(damaged, asked)
    assert says in raised.value.as_result()["hint"]
    assert len(damaged.prompts) == 1
    assert record(damaged).files_aside() == []


async def test_a_file_that_a_saved_workflow_names_is_not_exchanged(damaged: StandIn) -> None:
    graph = small_graph(damaged)
    for node in graph.values():
        if "ckpt_name" in node["inputs"]:
            node["inputs"]["ckpt_name"] = "broken.safetensors"
    with pytest.raises(tool.ModelUnusable) as raised:
        await run_wish(damaged, order("mine"), pasted(mine=graph))
    assert 'The workflow "mine" names it.' in raised.value.as_result()["hint"]


async def test_administrators_are_told_which_files_are_set_aside(damaged: StandIn) -> None:
    await draw(damaged)
    statuses = await tool.Fleet((tool.Endpoint(damaged.url),)).statuses()
    told_to = {admin: json.dumps(tool.status_report(statuses, admin=admin)[0]) for admin in (True, False)}
    said = "checkpoints/broken.safetensors is damaged or not completely downloaded (not chosen for 15 min)"
    assert said in told_to[True]
    assert "broken" not in told_to[False]


def loaded(prompt: dict[str, Any]) -> str:
    """The checkpoint that a prompt loads."""
    names = [node["inputs"].get("ckpt_name") for node in prompt["prompt"].values()]
    return next(name for name in names if name)
