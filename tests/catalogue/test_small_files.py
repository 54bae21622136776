"""Models made small, as GGUF or for Nunchaku: the bundled workflows run with them where nothing else is there and the
nodes that load them are installed."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.runs import listed, make, models_of, order, run_wish, sent, small_wish
from tests.support.stand_in import StandIn
from tests.support.stand_in.custom import GGUF_NODES, NUNCHAKU_NODES

FLUX = {"vae": ["ae.safetensors"], "text_encoders": ["clip_l.safetensors"]}
BLACKWELL = "cuda:0 NVIDIA GeForce RTX 5090 : cudaMallocAsync"


@contextlib.asynccontextmanager
async def small_server(
    nodes: dict[str, Any] | None = None, release: str = "0.33.0", **models: list[str]
) -> AsyncIterator[StandIn]:
    """A server with these files, and with these nodes of packages, or all."""
    custom = GGUF_NODES | NUNCHAKU_NODES if nodes is None else nodes
    async with StandIn(release, step_seconds=0.0, models=models, custom_nodes=custom) as server:
        yield server
        await tool.close_servers()


def entry_of(name: str) -> tool.Entry:
    return next(entry for entry in tool.bundled_entries() if entry.name == name)


async def test_a_picture_is_made_with_a_model_and_a_text_encoder_of_gguf() -> None:
    files = FLUX | {"unet_gguf": ["flux1-dev-Q4_K_S.gguf"], "clip_gguf": ["t5-v1_1-xxl-encoder-Q3_K_L.gguf"]}
    async with small_server(**files) as server:
        result = await make(server, wish=small_wish(workflow="flux"))
        assert result.model == "flux1-dev-Q4_K_S.gguf"
        assert sent(server, "UnetLoaderGGUF") == {"unet_name": "flux1-dev-Q4_K_S.gguf"}
        assert sent(server, "DualCLIPLoaderGGUF") == {
            "clip_name1": "clip_l.safetensors",
            "clip_name2": "t5-v1_1-xxl-encoder-Q3_K_L.gguf",
            "type": "flux",
        }


async def test_a_picture_is_made_with_a_model_of_nunchaku() -> None:
    files = FLUX | {"diffusion_models": ["svdq-int4_r32-flux.1-dev.safetensors"]}
    files["text_encoders"] = ["clip_l.safetensors", "awq-int4-flux.1-t5xxl.safetensors"]
    async with small_server(**files) as server:
        result = await make(server, wish=small_wish(workflow="flux"))
        assert result.model == "svdq-int4_r32-flux.1-dev.safetensors"
        assert sent(server, "NunchakuFluxDiTLoader") == {
            "model_path": "svdq-int4_r32-flux.1-dev.safetensors",
            "cache_threshold": 0,
            "attention": "nunchaku-fp16",
            "cpu_offload": "auto",
            "device_id": 0,
            "data_type": "bfloat16",
        }
        assert sent(server, "NunchakuTextEncoderLoaderV2") == {
            "model_type": "flux.1",
            "text_encoder1": "clip_l.safetensors",
            "text_encoder2": "awq-int4-flux.1-t5xxl.safetensors",
            "t5_min_length": 512,
        }


SMALL: list[tuple[str, dict[str, list[str]]]] = [
    ("z-image-turbo", {"unet_gguf": ["z_image_turbo-Q4_K_M.gguf"], "clip_gguf": ["Qwen3-4B-Q4_K_M.gguf"]}),
    ("flux2-klein", {"unet_gguf": ["flux-2-klein-4b-Q4_K_M.gguf"], "clip_gguf": ["Qwen3-4B-Q8_0.gguf"]}),
    ("flux2", {"unet_gguf": ["flux2-dev-Q4_K_M.gguf"], "clip_gguf": ["Mistral-Small-3.2-24B-Q4_K_M.gguf"]}),
    ("qwen-image", {"unet_gguf": ["qwen-image-Q4_K_M.gguf"], "clip_gguf": ["Qwen2.5-VL-7B-Instruct-Q4_K_M.gguf"]}),
    ("qwen-image", {"diffusion_models": ["svdq-int4_r32-qwen-image.safetensors"]}),
    ("flux", {"unet_gguf": ["fluxDevQ5KMGGUFQuantizationA_v10.gguf"]}),
    (
        "wan-text-to-video",
        {
            "unet_gguf": ["Wan2.2-T2V-A14B-HighNoise-Q4_K_M.gguf", "Wan2.2-T2V-A14B-LowNoise-Q4_K_M.gguf"],
            "clip_gguf": ["umt5-xxl-encoder-Q8_0.gguf"],
        },
    ),
    ("wan-5b-text-to-video", {"unet_gguf": ["Wan2.2-TI2V-5B-Q4_K_M.gguf"]}),
    ("sd3.5", {"clip_gguf": ["t5-v1_1-xxl-encoder-Q3_K_L.gguf"]}),
]


@pytest.mark.parametrize(("name", "small"), SMALL)
async def test_a_bundled_workflow_runs_with_small_files_and_with_nothing_else(
    name: str, small: dict[str, list[str]]
) -> None:
    replaced = {"unet_gguf": "diffusion_models", "clip_gguf": "text_encoders", "diffusion_models": "diffusion_models"}
    files = models_of(name)
    for kind in small:
        files[replaced[kind]] = [file for file in files.get(replaced[kind], []) if file.startswith("clip_")]
    async with small_server(**{**files, **small}) as server:
        async with tool.open_server(tool.Endpoint(server.url)) as opened:
            entry = entry_of(name)
            fitted = await tool.fit_entry(opened, entry, None)
        held = {value for node in fitted.workflow.graph.values() for value in map(str, node["inputs"].values())}
        assert {file for files in small.values() for file in files} <= held
        assert set(fitted.workflow.parameters) == set(entry.workflow.parameters)
        assert tool.missing_nodes(fitted.workflow.graph, fitted.workflow.definitions) == ()


async def test_a_plain_file_comes_first() -> None:
    files = models_of("flux") | {"unet_gguf": ["flux1-dev-Q4_K_S.gguf"]}
    files["diffusion_models"] = ["a-svdq-int4-flux.1-dev.safetensors", "flux1-dev.safetensors"]
    async with small_server(**files) as server:
        result = await make(server, wish=small_wish(workflow="flux"))
        assert result.model == "flux1-dev.safetensors"


async def test_without_the_nodes_small_files_are_as_good_as_none() -> None:
    files = models_of("flux") | {
        "unet_gguf": ["flux1-dev-Q4_K_S.gguf"],
        "diffusion_models": ["svdq-int4-flux.1-dev.safetensors"],
    }
    async with small_server({}, **files) as server:
        with pytest.raises(tool.ModelNotInstalled, match=r"flux1-dev\.safetensors"):
            await make(server, wish=small_wish(workflow="flux"))
        with pytest.raises(tool.NodeNotInstalled, match="no node that loads the model"):
            await make(server, wish=small_wish(workflow="flux", model="svdq-int4-flux.1-dev.safetensors"))


@pytest.mark.parametrize("model", ["flux1-schnell-Q4_K_S.gguf", "schnell q4", "flux schnell"])
async def test_a_small_file_is_named_as_any_other(model: str) -> None:
    files = models_of("flux", "checkpoint") | {"unet_gguf": ["flux1-schnell-Q4_K_S.gguf", "flux1-dev-Q4_0.gguf"]}
    async with small_server(**files) as server:
        result = await make(server, wish=small_wish(workflow=None, model=model))
        assert (result.model, result.workflow) == ("flux1-schnell-Q4_K_S.gguf", "flux")
        assert result.used["steps"] == 3


@pytest.mark.parametrize(("device", "chosen"), [("NVIDIA GeForce RTX 4090", "int4"), (BLACKWELL, "fp4")])
async def test_of_nunchakus_files_the_one_for_the_servers_card_is_taken(device: str, chosen: str) -> None:
    files = models_of("flux") | {
        "diffusion_models": [f"svdq-{kind}_r32-flux.1-dev.safetensors" for kind in ("fp4", "int4")]
    }
    async with small_server(**files) as server:
        server.devices[0]["name"] = device
        result = await make(server, wish=small_wish(workflow="flux"))
        assert result.model == f"svdq-{chosen}_r32-flux.1-dev.safetensors"


async def test_a_text_encoder_that_is_shown_pictures_needs_its_part_for_them() -> None:
    encoder, part = "Qwen2.5-VL-7B-Instruct-Q4_K_M.gguf", "Qwen2.5-VL-7B-Instruct-mmproj-BF16.gguf"
    files = models_of("qwen-image-edit") | {"text_encoders": []}
    for found, listed_files in ((False, [encoder]), (True, [encoder, part]), (False, [f"sub/{encoder}", part])):
        async with small_server(**{**files, "clip_gguf": listed_files}) as server:
            assert found == ("qwen-image-edit" in str((await listed(server))["workflows"]))


async def test_gguf_stands_beside_no_scaled_text_encoder() -> None:
    files = models_of("sd3.5") | {"clip_gguf": ["clip_l-Q8_0.gguf"]}
    files["text_encoders"] = ["clip_g.safetensors", "t5xxl_fp8_e4m3fn_scaled.safetensors"]
    async with small_server(**files) as server:
        with pytest.raises(tool.ModelNotInstalled):
            await make(server, wish=small_wish(workflow="sd3.5"))


async def test_a_list_of_workflows_counts_small_files() -> None:
    files = models_of("flux") | {"diffusion_models": [], "unet_gguf": ["flux1-dev-Q4_0.gguf"]}
    async with small_server(**files) as server:
        assert "flux" in [line["name"] for line in (await listed(server))["workflows"]]
        async with tool.open_server(tool.Endpoint(server.url)) as opened:
            about = await tool.describe_workflow(opened, entry_of("flux"))
        model = about["models"]["diffusion_models/flux1-dev.safetensors"]
        assert (model, "cannot run" in about) == ('installed as "flux1-dev-Q4_0.gguf"', False)


async def test_whether_the_nodes_are_there_is_asked_once_in_a_while() -> None:
    async with small_server({}, **models_of("checkpoint")) as server:
        for _ in range(2):
            await make(server, wish=small_wish(workflow=None))
        asked = [request.path for request in server.requests if "GGUF" in request.path]
        assert len(asked) == len(set(asked))


@pytest.mark.parametrize("loader", tool.SMALL_LOADERS, ids=lambda loader: loader.class_type)
def test_the_folder_of_a_small_file_is_known(loader: tool.SmallLoader) -> None:
    folder = "diffusion_models" if loader.instead_of == "UNETLoader" else "text_encoders"
    assert {tool.model_folder(loader.class_type, name) for name in loader.inputs.values()} == {folder}


# --- LoRAs ---


async def test_a_lora_goes_into_a_model_of_nunchaku_by_its_own_node() -> None:
    files = models_of("flux") | {
        "diffusion_models": ["svdq-int4-flux.1-dev.safetensors"],
        "loras": ["detail.safetensors"],
    }
    async with small_server(**files) as server:
        await make(server, wish=small_wish(workflow="flux", loras=["detail:0.8"]))
        lora = sent(server, "NunchakuFluxLoraLoader")
        assert (lora["lora_name"], lora["lora_strength"]) == ("detail.safetensors", 0.8)
        graph = server.prompts[-1]["prompt"]
        assert graph[lora["model"][0]]["class_type"] == "NunchakuFluxDiTLoader"
        assert "LoraLoader" not in {node["class_type"] for node in graph.values()}


async def test_a_lora_that_would_vanish_is_refused() -> None:
    files = models_of("qwen-image") | {"diffusion_models": ["svdq-int4_r32-qwen-image.safetensors"], "loras": ["a.sft"]}
    async with small_server(**files) as server:
        with pytest.raises(tool.NodeNotInstalled, match=r'puts a LoRA into "svdq-int4_r32-qwen-image\.safetensors"'):
            await make(server, wish=small_wish(workflow="qwen-image", loras=["a"]))


async def test_a_lora_goes_into_a_model_of_gguf_as_into_any_other() -> None:
    files = models_of("flux") | {"diffusion_models": [], "unet_gguf": ["flux1-dev-Q4_0.gguf"], "loras": ["a.sft"]}
    async with small_server(**files) as server:
        await run_wish(server, order("flux", {"prompt": "a fox", "size": "64x64", "steps": 1, "loras": ["a"]}))
        classes = [node["class_type"] for node in server.prompts[-1]["prompt"].values()]
        assert "UnetLoaderGGUF" in classes
        assert {"LoraLoader", "LoraLoaderModelOnly"} & set(classes)
