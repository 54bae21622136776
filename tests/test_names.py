"""Names of models are found however they are written, and names of files are made of prompts."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import comfyui_tool as tool

# --- models ---

NAMES = ("sd_xl_base_1.0.safetensors", "flux\\Flux1-Dev.safetensors", "sub/dream_8.ckpt", "tiny.safetensors")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("tiny.safetensors", "tiny.safetensors"),
        ("TINY", "tiny.safetensors"),
        ("flux/flux1-dev.safetensors", "flux\\Flux1-Dev.safetensors"),
        ("flux1-dev", "flux\\Flux1-Dev.safetensors"),
        ("dream 8", "sub/dream_8.ckpt"),
        ("SD XL base 1.0", "sd_xl_base_1.0.safetensors"),
        ("模型v1", None),
        ("dream", None),
        ("", None),
        ("!!!", None),
    ],
)
def test_a_model_is_found_whatever_its_case_folder_slash_or_extension(wanted: str, expected: str | None) -> None:
    assert tool.find_name(wanted, NAMES) == expected


def test_an_exact_name_wins_over_one_that_is_only_alike() -> None:
    assert tool.find_name("b/x.ckpt", ["a/x.ckpt", "b/x.ckpt"]) == "b/x.ckpt"


INSTALLED = [
    "sd_xl_base_1.0.safetensors",
    "SDXL/Juggernaut-XL_v9.safetensors",
    "v1-5-pruned-emaonly.safetensors",
    "flux1-dev.safetensors",
    "flux1-schnell.safetensors",
    "z_image_turbo_bf16.safetensors",
]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("juggernaut", [1]),
        ("Juggernaut XL", [1]),
        ("the juggernaut model", [1]),
        ("SDXL", [0, 1]),
        ("SDXL base", [0]),
        ("Stable Diffusion XL base", [0]),
        ("flux", [3, 4]),
        ("Flux.1 dev", [3]),
        ("Z-Image Turbo", [5]),
        ("Ｚ－Ｉｍａｇｅ", [5]),
        ("stabilityai/stable-diffusion-xl-base-1.0", [0]),
        ("juggernaut v9", [1]),
        ("image 1", []),
        ("midjourney", []),
        ("safetensors", []),
        ("the model", []),
        ("x", []),
        ("", []),
        ("a b c d e f g h i j k l m n", []),
    ],
)
def test_names_are_found_by_all_their_words(wanted: str, found: list[int]) -> None:
    assert tool.names_with_words(wanted, INSTALLED) == [INSTALLED[place] for place in found]


def test_a_name_that_has_just_these_words_is_the_only_one() -> None:
    assert tool.names_with_words("the flux workflow", ["flux2", "flux", "flux-kontext"]) == ["flux"]


def test_one_sign_is_a_word_of_a_name_and_not_a_part_of_one() -> None:
    assert tool.names_with_words("3d", ["sd3.5", "hunyuan_3d_v2"]) == ["hunyuan_3d_v2"]


def test_the_closest_names_come_first() -> None:
    assert tool.closest("sdxl base", NAMES, 1) == ["sd_xl_base_1.0.safetensors"]


# --- files ---


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a red fox", "a-red-fox-7"),
        ("../../etc/passwd\x00 <b>", "etc-passwd-b-7"),
        ("🦊🦊", "picture-7"),
        ("маяк на закате", "маяк-на-закате-7"),
        ("灯台", "灯台-7"),
        ("word " * 4000, "word-word-word-word-word-word-word-word-word-wor-7"),
    ],
)
def test_files_get_telling_and_harmless_names(prompt: str, expected: str) -> None:
    assert tool.file_stem(prompt, 7) == expected


@given(st.text())
def test_any_prompt_gives_a_file_name_that_every_system_takes(prompt: str) -> None:
    stem = tool.file_stem(prompt, 1)
    assert stem
    assert len(stem.encode()) <= 220
    assert not set(stem) & set('/\\:*?"<>|\0\n')
    assert not stem.startswith((".", "-"))


@pytest.mark.parametrize(
    ("wanted", "close"),
    [
        ("fluxx", ["flux", "flux-image-to-image"]),
        ("chekpoint", ["checkpoint"]),
        ("anima", ["anime_style.safetensors"]),
        ("bicycle", []),
        ("", []),
        ("狐", []),
    ],
)
def test_only_names_that_are_like_the_wanted_one_are_said_to_be_close(wanted: str, close: list[str]) -> None:
    names = ["upscale", "flux", "flux-image-to-image", "checkpoint", "anime_style.safetensors"]
    assert tool.close_names(wanted, names) == close


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("a fox \ud83e\udd8a", "a fox 🦊"),
        ("a fox \ud83e", "a fox "),
        ("\udd8a a fox", " a fox"),
        ("\udd8a\ud83e a fox", " a fox"),
        ("🦊\ud83e狐", "🦊狐"),
        ({"text\ud83e": ["\ud83e\udd8a", 7, {"a": "\udd8a"}]}, {"text": ["🦊", 7, {"a": ""}]}),
    ],
)
def test_half_an_emoji_is_left_out_and_two_halves_are_one(text: Any, whole: Any) -> None:
    assert tool.whole_characters(text) == whole


@given(st.text(st.characters(codec=None)))  # halves among them
def test_any_text_in_whole_characters_can_be_written(text: str) -> None:
    whole = tool.whole_characters(text)
    whole.encode()
    assert tool.whole_characters(whole) == whole


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("no type of: /home/ann/ComfyUI/models/vae/ae.sft", "no type of: ae.sft"),
        ("[Errno 2] No such file: '/home/ann b/ComfyUI/input/x y.png'", "[Errno 2] No such file: 'x y.png'"),
        (r"C:\Users\Ann B\ComfyUI\models\vae\ae.sft is missing", "ae.sft is missing"),
        (r"\\nas\share\models\a b\c.ckpt", "c.ckpt"),
        ("D:/ComfyUI/models/x.pt", "x.pt"),
        ("1/2/3 and/or this/that", "1/2/3 and/or this/that"),
        ("see https://example.org/docs/x.html", "see https://example.org/docs/x.html"),
        ("a file in sub/folder/x.png", "a file in sub/folder/x.png"),
    ],
)
def test_of_a_path_only_the_files_name_is_told(said: str, told: str) -> None:
    assert tool.without_paths(said) == told
