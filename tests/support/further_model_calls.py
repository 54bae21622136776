"""More requests of people and calls of models, in the form of tests/support/model_calls.py: those of a second round, in
which calls came to something else than they said, or were refused though their meaning is plain, and a few of the rest.
"""

from typing import Any

from tests.support.model_calls import (
    DESCRIBE,
    DONE,
    DRAW,
    EDIT,
    ENLARGE,
    LIST,
    RUN,
    STATUS,
    USUAL,
    WEAK,
    Asked,
    Call,
    strong,
    weak,
)

HALF = [("anime_style.safetensors", 0.5), ("detail.safetensors", 0.5)]
TWELVE = {"steps": 12, "workflow": "portrait"}


def drawn(ask: str, come: dict[str, Any], *arguments: dict[str, Any]) -> Asked:
    """Calls of generate_image by a weak model, to all of which the same must come; each draws a heron."""
    return Asked(ask, "empty", tuple(Call(WEAK, DRAW, {"prompt": "a heron"} | each, come) for each in arguments))


FURTHER_REQUESTS = (
    drawn("For a bookmark.", {"size": "512x2048"}, {"size": "1:4"}, {"size": "1 to 4"}),
    drawn("A flyer in A5.", {"size": "832x1216"}, {"size": "A5"}, {"size": "A5 portrait"}),
    drawn("Upright.", {"size": "896x1152"}, {"size": "4:3 portrait"}, {"size": ["3:4"]}, {"size": {"value": "3:4"}}),
    drawn("A banner, 640 wide.", {"size": "640x320"}, {"size": "2:1, 640 wide"}, {"size": "2:1 640px wide"}),
    drawn("Anything.", USUAL, {"size": "0x0"}, {"size": -1}, {"size": "undefined", "model": "-", "workflow": "any"}),
    drawn("With ten steps.", {"steps": 10}, {"steps": [10]}, {"steps": {"value": "10"}}, {"steps": "ten"}),
    drawn("At full detail.", {"error": "from 1 to 100"}, {"steps": "max"}),
    drawn(
        "With both LoRAs, half strength.",
        {"loras": HALF},
        {"loras": {"loras": ["anime_style", "detail"], "strength": 0.5}},
        {"loras": ["anime_style", "detail", 0.5, 0.5]},
        {"loras": ["anime_style:50%", "detail:50 %"]},
    ),
    drawn("No LoRA, please.", {"loras": [], **USUAL}, {"loras": [""]}, {"loras": {}}, {"loras": "none"}),
    drawn(
        "With Stable Diffusion XL base.",
        {"model": "sd_xl_base_1.0.safetensors"},
        {"model": "stabilityai/stable-diffusion-xl-base-1.0"},
        {"model": {"name": "SDXL base"}},
    ),
    Asked(
        "A street without cars.",
        "empty",
        (
            weak(
                DRAW,
                {"prompt": "a street", "negative_prompt": "cars", "steps": 12, "seed": 99, "size": "768x512"},
                prompt="a street\nNegative prompt: cars\nSteps: 12, Sampler: Euler, Seed: 99, Size: 768x512",
                workflow="checkpoint",
            ),
            weak(DRAW, {"prompt": "a street", "size": "1344x768"}, prompt='{"prompt": "a street", "size": "16:9"}'),
            weak(DRAW, {"prompt": "a street"}, prompt={"text": "a street"}),
            weak(DRAW, {"error": "prompt is empty"}, prompt="null"),
        ),
    ),
    Asked(
        "A unicorn sticker, transparent.",
        "empty",
        tuple(
            weak(DRAW, {"note": "the picture is opaque"}, prompt=prompt)
            for prompt in ("unicorn, transparent bg", "Einhorn, transparenter Hintergrund", "unicorn, no bg")
        ),
    ),
    Asked(
        "The same again, at night.",
        "one",
        tuple(
            weak(DRAW, {"seed": 1234}, prompt="a fox at night", seed=seed)
            for seed in ("reuse", "same as image 1", {"value": "last"})
        ),
    ),
    Asked(
        "Three versions as oil paintings; vary it strongly.",
        "photo",
        (
            strong(EDIT, {"from": ["photo.png"], "count": 3}, prompt="As an oil painting", count=3),
            weak(EDIT, {"note": "joined into one"}, prompt=["oil painting", "oil painting in blue"]),
            weak(EDIT, {"denoise": 0.7}, prompt="a sea", strength=7),
            weak(EDIT, {"denoise": 0.7}, prompt="a sea", strength=[70]),
            weak(EDIT, {"from": ["photo.png"]}, prompt="a sea", images="my photo", size="same as image 1"),
            weak(EDIT, {"from": ["photo.png"]}, prompt="a sea", images=["user_upload"]),
            weak(RUN, {"from": ["photo.png"]}, workflow="combine", prompt="a sea", images="photo.png"),
        ),
    ),
    Asked(
        "Enlarge it: 288 in width, or three times.",
        "photo",
        tuple(
            Call(WEAK, ENLARGE, arguments, {"size": "288x192"})
            for arguments in (
                {"size": "288px wide"},
                {"size": {"width": 288}},
                {"size": "x192"},
                {"size": "3x"},
                {"size": "triple"},
                {"scale": [3]},
                {"scale": "300%"},
            )
        ),
    ),
    Asked("As large as it gets.", "photo", (weak(ENLARGE, {"error": 'scale is "max"'}, scale="max"),)),
    Asked(
        "Animate my photo, one second.",
        "photo",
        tuple(
            weak(
                RUN,
                {"workflow": "wan-image-to-video", "from": ["photo.png"], "length": 17},
                workflow=workflow,
                prompt="it moves",
                images=["1"],
                inputs=inputs,
            )
            for workflow, inputs in (
                ("text_to_video", {"seconds": 1, "size": "64x64"}),
                ("animate this photo", "seconds: 1, size: 64x64"),
                ("video from image", ["seconds=1", "size=64x64"]),
                ("image_to_video", {"seconds": [1], "aspect_ratio": "1:1", "resolution": "64x64"}),
            )
        ),
    ),
    Asked(
        "A film of both.",
        "two",
        (
            weak(
                RUN,
                {"note": "of the 2 pictures of the user's last message the newest", "from": ["second.png"]},
                workflow="i2v",
                prompt="x",
                inputs={"size": "64x64", "seconds": 1},
            ),
        ),
    ),
    Asked(
        "With LTX, with a motion of its own.",
        "photo",
        (
            strong(RUN, {"error": "no such model is installed"}, workflow="image_to_video", inputs={"model": "LTX"}),
            weak(RUN, {"error": "seconds"}, workflow="image_to_video", prompt="x", inputs={"motion": "strong"}),
        ),
    ),
    Asked(
        "Sing my text.",
        "empty",
        (
            weak(RUN, {"prompt": "folk", "lyrics": "Rain"}, workflow="song", prompt="folk", inputs={"text": "Rain"}),
            weak(
                RUN,
                {"prompt": "folk", "lyrics": "[verse]\nRain\n[chorus]\nSun"},
                workflow="song",
                inputs={"style": "folk", "lyrics": {"verse": "Rain", "chorus": ["Sun"]}},
            ),
        ),
    ),
    Asked(
        "Read it aloud: Good night.",
        "speaker",
        (
            strong(LIST, {"told": "talk"}, search="speech"),
            strong(RUN, {"Speak.text": "Good night"}, workflow="talk", inputs={"text": "Good night", "speed": 0.8}),
            weak(RUN, {"Speak.text": "Good night"}, workflow="text_to_speech", prompt="Good night"),
            weak(RUN, {"Speak.text": "Good night"}, workflow="tts", inputs={"text": "Good night"}),
            weak(RUN, {"error": "Speak.text"}, workflow="talk", inputs={"input": "Good night"}),
        ),
    ),
    Asked(
        "The ratio workflow, upright.",
        "speaker",
        (
            strong(RUN, {"aspect_ratio": "9:16"}, workflow="ratio", prompt="A tower", inputs={"size": "9:16"}),
            weak(DRAW, {"aspect_ratio": "9:16"}, prompt="a tower", workflow="ratio", size="story"),
            weak(RUN, {"aspect_ratio": "9:16"}, workflow="ratio", prompt="x", inputs={"aspect_ratio": "9x16"}),
            weak(
                DRAW,
                {"aspect_ratio": "9:16", "note": 'changed to \\"9:16\\", the nearest'},
                prompt="a tower",
                workflow="ratio",
                size="1080x1920",
            ),
        ),
    ),
    Asked(
        "Portrait with twelve steps.",
        "empty",
        (
            *(
                weak(RUN, TWELVE, workflow="portrait", prompt="a king", inputs=inputs)
                for inputs in (
                    "steps=12",
                    "steps: 12\ncfg: 5",
                    {"steps": {"value": 12}},
                    {"nodes": {"3": {"steps": 12}}},
                    {"KSampler": {"steps": [12]}},
                )
            ),
            weak(RUN, {"sampler": "euler_ancestral"}, workflow="portrait", prompt="x", inputs={"sampler": "Euler a"}),
            weak(
                RUN,
                {"prompt": "a king", "note": "the argument prompt was followed, and text left out"},
                workflow={"name": "portrait"},
                prompt="a king",
                inputs={"text": "a queen"},
            ),
            weak(RUN, {"error": "portrait"}, workflow="portait", prompt="a king"),
        ),
    ),
    Asked(
        "A watch in soft light, with my product workflow.",
        "speaker",
        (
            strong(
                RUN,
                {"prompt": "a watch, soft light"},
                workflow="product",
                inputs={"product": "a watch", "light": "soft"},
            ),
            weak(
                RUN,
                {"note": 'nothing was given for \\"light\\"'},
                workflow="product shot",
                inputs={"Product": "a watch"},
            ),
        ),
    ),
    Asked(
        "Make a model of it for my printer.",
        "photo",
        (weak(RUN, {"error": "Nothing is installed for image_to_3d"}, workflow="3d", images=["1"]),),
    ),
    Asked(
        "What can you do?",
        "empty",
        (
            strong(LIST, {"told": "wan-image-to-video"}),
            weak(LIST, {"told": "Nothing that can run here"}, search="face swap"),
            weak(DESCRIBE, {"error": "no workflow has that name"}, workflow="1"),
            strong(STATUS, DONE),
        ),
    ),
)
