"""Requests of people in a chat, the calls that models make of them, and what must come of each.

`REQUESTS` is the table: what was asked and what the chat held before, and under it calls of a strong model, which reads
the specification well, and of weak ones, which guess. What must come is said by a few facts, all of which have to hold:

    size, count, seed, steps, guidance, prompt, negative_prompt, seconds, lyrics, loras    of what ComfyUI was sent
    workflow, model                                                                      of the result
    from                                                                                 the pictures worked on
    note                                                                                 is said in the result
    error                                                                                is said instead of a result

Arguments that a method does not have are dropped by Open WebUI before the call, and are not in the table.
"""

from dataclasses import dataclass, field
from typing import Any

STRONG, WEAK = "strong", "weak"


@dataclass(frozen=True)
class Call:
    """A call that a model makes, and what must come of it."""

    who: str
    method: str
    arguments: dict[str, Any]
    come: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """What a person asks for, and what the chat holds: "empty", "one" picture that was made, a "photo", a photo and its
    "mask", or a picture with a "workflow" in it."""

    ask: str
    chat: str
    calls: tuple[Call, ...]


def strong(method: str, come: dict[str, Any], **arguments: Any) -> Call:
    return Call(STRONG, method, arguments, come)


def weak(method: str, come: dict[str, Any], **arguments: Any) -> Call:
    return Call(WEAK, method, arguments, come)


DRAW, EDIT, ENLARGE, RUN = "generate_image", "edit_image", "upscale_image", "run_workflow"
LIST, DESCRIBE, MODELS, JOB, STATUS = (
    "list_workflows",
    "describe_workflow",
    "list_models",
    "check_job",
    "comfyui_status",
)
USUAL = {"size": "1024x1024", "count": 1, "steps": 8, "guidance": 1.0, "workflow": "z-image-turbo"}
DONE: dict[str, Any] = {}

REQUESTS = (
    Asked(
        "Draw me a lighthouse at dusk.",
        "empty",
        (
            strong(DRAW, USUAL, prompt="A lighthouse on a rocky coast at dusk"),
            weak(
                DRAW,
                USUAL | {"seed": "random"},
                prompt="lighthouse at dusk",
                negative_prompt="",
                size="",
                count=1,
                seed=0,
                steps=0,
                guidance=0,
                model="",
                loras=[],
                workflow="",
            ),
            weak(DRAW, USUAL, prompt="lighthouse at dusk", size=None, count=None, seed=None, loras=None, workflow=None),
            weak(
                DRAW,
                USUAL,
                prompt="lighthouse at dusk",
                size="auto",
                count="1",
                seed="-1",
                steps="default",
                guidance="default",
                model="none",
                loras=["none"],
                workflow="none",
            ),
        ),
    ),
    Asked(
        "Portrait format picture of an old fisherman, please.",
        "empty",
        (
            strong(DRAW, {"size": "832x1280"}, prompt="An old fisherman", size="2:3"),
            weak(DRAW, {"size": "832x1280"}, prompt="old fisherman", size="portrait"),
        ),
    ),
    Asked(
        "Give me 4 variants of a logo for a coffee shop.",
        "empty",
        (
            strong(DRAW, {"count": 4}, prompt="Minimal logo for a coffee shop", count=4),
            weak(DRAW, {"count": 4}, prompt="coffee shop logo", count="four"),
            weak(DRAW, {"count": 4}, prompt="coffee shop logo", count="4 variants"),
        ),
    ),
    Asked(
        "The same again, but larger.",
        "one",
        (
            strong(DRAW, {"size": "640x512", "seed": 1234}, prompt="a red fox in snow", seed=1234, size="640x512"),
            weak(DRAW, {"size": "640x512", "seed": 1234}, prompt="a red fox in snow", seed="same", size="640x512px"),
            weak(ENLARGE, {"size": "192x128", "from": ["fox.png"]}, scale="", model=""),
        ),
    ),
    Asked(
        "Mal mir bitte ein Schloss im Nebel, Hochformat.",
        "empty",
        (weak(DRAW, {"size": "832x1280"}, prompt="Schloss im Nebel", size="Hochformat"),),
    ),
    Asked(
        "Hazme dos fotos de una playa al amanecer, en horizontal.",
        "empty",
        (weak(DRAW, {"size": "1280x832", "count": 2}, prompt="playa", size="horizontal", count="dos"),),
    ),
    Asked(
        "桜の下の猫を描いて。16:9で。",
        "empty",
        (
            strong(DRAW, {"size": "1344x768"}, prompt="A cat sitting under cherry blossoms", size="16:9"),
            weak(DRAW, {"size": "1344x768", "prompt": "桜の下の猫"}, prompt="桜の下の猫", size="16対9"),
        ),
    ),
    Asked(
        "A girl in a field with my lora anime_style at 0.6.",
        "empty",
        tuple(
            Call(who, DRAW, arguments, {"loras": [("anime_style.safetensors", 0.6)], "prompt": "a girl in a field"})
            for who, arguments in (
                (STRONG, {"prompt": "a girl in a field", "loras": ["anime_style:0.6"]}),
                (WEAK, {"prompt": "a girl in a field", "loras": "anime_style:0.6"}),
                (WEAK, {"prompt": "a girl in a field", "loras": [{"name": "anime_style", "strength": 0.6}]}),
                (WEAK, {"prompt": "a girl in a field <lora:anime_style:0.6>"}),
                (WEAK, {"prompt": "a girl in a field", "loras": ["anime_style", "0.6"]}),
            )
        ),
    ),
    Asked(
        "Make the sky red.",
        "one",
        (
            strong(EDIT, {"from": ["fox.png"]}, prompt="Make the sky red; keep everything else unchanged"),
            weak(EDIT, {"from": ["fox.png"]}, prompt="red sky", images=["![fox](/api/v1/files/{fox.png}/content)"]),
            weak(EDIT, {"from": ["fox.png"]}, prompt="red sky", images={"number": 1, "id": "{fox.png}"}),
            weak(EDIT, {"from": ["fox.png"]}, prompt="red sky", images=["1", "fox.png", "last"]),
            weak(
                RUN,
                {"from": ["fox.png"], "note": "a workflow for image_to_image was taken"},
                workflow="image_edit",
                prompt="red sky",
            ),
        ),
    ),
    Asked(
        "Put a boat where the mask is white.",
        "mask",
        (
            strong(EDIT, {"workflow": "checkpoint-inpaint"}, prompt="a wooden boat", images=["1"], mask="2"),
            weak(EDIT, {"workflow": "checkpoint-inpaint"}, prompt="a boat", images=["photo.png"], mask="mask.png"),
            weak(EDIT, {"workflow": "checkpoint-inpaint", "note": "taken for the mask"}, prompt="put a boat there"),
            weak(
                EDIT,
                {"workflow": "checkpoint-inpaint", "note": "taken for the mask"},
                prompt="a boat",
                images=["1", "2"],
            ),
            *(
                weak(EDIT, {"workflow": "checkpoint-inpaint", "note": "taken for the mask"}, prompt="a boat", mask=mask)
                for mask in ("the mask", "white area", True, "auto")
            ),
            weak(EDIT, {"workflow": "checkpoint-inpaint"}, prompt="a boat", images="photo.png", mask="white"),
            weak(EDIT, {"note": "and the mask for the picture"}, prompt="a boat", images=["2"], mask="1"),
            weak(EDIT, {"error": "mask.png"}, prompt="a boat", mask="the sky"),
            weak(EDIT, {"note": "taken for the mask"}, prompt="a boat", images={"photo": "1", "where": "2"}),
        ),
    ),
    Asked(
        "Change the photo.",
        "photo",
        (
            weak(EDIT, {"error": "plainly is a mask"}, prompt="a boat", mask="the mask"),
            weak(EDIT, {"error": "no transparent part"}, prompt="a boat", mask="alpha channel"),
        ),
    ),
    Asked(
        "Remove the background.",
        "photo",
        (
            strong(EDIT, {"from": ["photo.png"]}, prompt="Place the subject on plain white"),
            weak(EDIT, {"error": "no transparent part"}, prompt="remove the background", mask="transparency"),
            weak(RUN, {"error": "remove_background"}, workflow="remove_background"),
        ),
    ),
    Asked(
        "Upscale it to 4k.",
        "one",
        (
            strong(ENLARGE, {"size": "768x512"}, scale=8),
            strong(ENLARGE, {"size": "768x512", "note": "at most 8 times"}, size="4k"),
            weak(ENLARGE, {"size": "768x512", "note": "at most 8 times"}, scale="4k"),
            weak(ENLARGE, {"size": "768x512", "note": "at most 8 times"}, size="3840x2160"),
            weak(ENLARGE, {"size": "768x512", "note": "at most 8 times"}, scale=4096),
        ),
    ),
    Asked(
        "Make a song about my cat with lyrics, one minute.",
        "empty",
        (
            strong(LIST, DONE, search="music"),
            strong(DESCRIBE, DONE, workflow="text_to_audio"),
            strong(
                RUN,
                {"seconds": 60.0, "prompt": "upbeat pop", "lyrics": "[verse] My cat"},
                workflow="text_to_audio",
                prompt="upbeat pop",
                inputs={"lyrics": "[verse] My cat", "seconds": 60},
            ),
            weak(
                RUN,
                {"seconds": 60.0, "prompt": "pop", "lyrics": "my cat", "note": "was taken for the task text_to_audio"},
                workflow="text_to_music",
                inputs={"lyrics": "my cat", "style": "pop", "duration": "60"},
            ),
            weak(RUN, {"prompt": "my cat"}, workflow="song", inputs={"prompt": "my cat", "seconds": "1 minute"}),
            weak(
                RUN,
                {"seconds": 60.0, "prompt": "pop", "lyrics": "meow"},
                workflow="ace-step",
                inputs={"tags": "pop", "lyrics": "meow", "duration": 60},
            ),
        ),
    ),
    Asked(
        "Read this aloud: Good morning, everybody.",
        "empty",
        (weak(RUN, {"error": "text_to_speech"}, workflow="text_to_speech", inputs={"text": "Good morning"}),),
    ),
    Asked(
        'Use the workflow "portrait" with a viking.',
        "empty",
        tuple(
            Call(who, method, arguments, {"workflow": "portrait", "prompt": "a viking", "size": "64x64"})
            for who, method, arguments in (
                (STRONG, RUN, {"workflow": "portrait", "prompt": "a viking"}),
                (STRONG, RUN, {"workflow": "portrait", "inputs": {"prompt": "a viking"}}),
                (WEAK, DRAW, {"prompt": "a viking", "workflow": "Portrait"}),
                (WEAK, RUN, {"workflow": "portrait.json", "inputs": {"positive_prompt": "a viking"}}),
                (WEAK, RUN, {"workflow": "portrait", "inputs": {"text": "a viking"}}),
                (WEAK, RUN, {"workflow": "portrait workflow", "inputs": {"prompt": "a viking"}}),
                (WEAK, RUN, {"workflow": "portrait", "inputs": '{"inputs": {"prompt": "a viking"}}'}),
                (WEAK, DRAW, {"prompt": "a viking", "model": "portrait"}),
            )
        ),
    ),
    Asked(
        "Run the workflow in this picture.",
        "workflow",
        (
            strong(RUN, {"workflow": "attached", "prompt": "a saved owl"}, workflow="attached"),
            weak(RUN, {"workflow": "made.png", "prompt": "a saved owl"}, workflow="made.png"),
            weak(RUN, {"prompt": "a saved owl"}, workflow="{made.png}"),
            weak(RUN, {"error": "prompt"}, images=["1"]),
            weak(RUN, {"prompt": "a bear", "size": "64x64"}, workflow="made", prompt="a bear"),
            weak(RUN, {"prompt": "a bear", "size": "64x64"}, workflow="image 1", prompt="a bear"),
            weak(RUN, {"prompt": "a bear", "size": "64x64"}, workflow="attachment", prompt="a bear"),
            weak(RUN, {"error": '"attached" is the workflow in made.png'}, workflow="the current one"),
            weak(RUN, {"error": "attach it as a .json file"}, workflow={"3": {"class_type": "KSampler"}, "4": {}}),
        ),
    ),
    Asked(
        "Which models are there?",
        "empty",
        (
            strong(MODELS, DONE),
            strong(MODELS, DONE, kind="loras", search="anime"),
            weak(MODELS, {"told": "anime_style"}, kind="LoRAs and checkpoints"),
            weak(MODELS, {"told": "flux1-dev"}, kind="flux"),
            weak(MODELS, {"error": "no kind of model"}, kind="furniture"),
        ),
    ),
    Asked(
        "Is my video done? What is in the queue? Why did it fail?",
        "empty",
        (
            strong(JOB, DONE),
            strong(STATUS, DONE),
            weak(JOB, DONE, job_id=None, cancel=None),
            weak(JOB, DONE, job_id="", cancel="false"),
        ),
    ),
    Asked(
        "Explain the workflow flux to me.",
        "empty",
        (
            strong(DESCRIBE, {"told": "flux"}, workflow="flux"),
            weak(DESCRIBE, {"told": "flux"}, workflow="the flux workflow"),
            weak(DESCRIBE, {"told": "flux"}, workflow="Flux.1"),
            weak(LIST, DONE, search="explain flux"),
            weak(LIST, {"told": "ace-step"}, search=["music", "painting"]),
        ),
    ),
    Asked(
        "8192x8192, 500 steps, 50 pictures of an ant.",
        "empty",
        (strong(DRAW, {"error": "administrator allows"}, prompt="an ant", size="8192x8192", steps=500, count=50),),
    ),
    Asked(
        "A square 1920x1080 wallpaper of a forest.",
        "empty",
        (
            strong(DRAW, {"size": "1920x1088", "note": "1920x1088"}, prompt="A forest wallpaper", size="1920x1080"),
            weak(DRAW, {"error": "1:1 1920x1080"}, prompt="forest", size="1:1 1920x1080"),
        ),
    ),
    Asked(
        "A poster with no text in it.",
        "empty",
        (
            strong(DRAW, {"note": "takes no negative prompt"}, prompt="An art deco poster", negative_prompt="text"),
            weak(
                DRAW,
                {"negative_prompt": "text, letters", "workflow": "checkpoint"},
                prompt="a poster",
                negative_prompt=["text", "letters"],
                model="SDXL",
            ),
        ),
    ),
    Asked(
        "Photo of a cat, 20 steps, cfg 3.",
        "empty",
        (
            strong(DRAW, {"steps": 20, "guidance": 3.0}, prompt="Photo of a cat", steps=20, guidance=3),
            weak(DRAW, {"steps": 20, "guidance": 3.0}, prompt="Photo of a cat", steps="20 steps", guidance="3.0"),
            weak(
                RUN,
                {"steps": 20, "guidance": 3.0},
                workflow="text_to_image",
                inputs={"prompt": "Photo of a cat", "num_inference_steps": 20, "guidance_scale": 3},
            ),
        ),
    ),
    Asked(
        "Again, but different.",
        "one",
        (
            strong(DRAW, {"seed": "random"}, prompt="a red fox in snow"),
            weak(DRAW, {"seed": "random"}, prompt="a red fox in snow", seed=-1),
            weak(DRAW, {"seed": "random"}, prompt="a red fox in snow", seed="random"),
        ),
    ),
    Asked(
        "Three pictures: a cat, a dog and a horse.",
        "empty",
        (
            strong(DRAW, {"prompt": "A cat"}, prompt="A cat"),
            weak(DRAW, {"count": 3}, prompt="a cat, a dog and a horse", count=3),
            weak(DRAW, {"note": "call once for each"}, prompt=["a cat", "a dog", "a horse"]),
        ),
    ),
    Asked(
        "Make it with Midjourney: a dragon.",
        "empty",
        (
            strong(DRAW, {"prompt": "A dragon"}, prompt="A dragon"),
            weak(DRAW, {"error": "midjourney"}, prompt="a dragon", model="midjourney"),
            weak(DRAW, {"size": "1344x768", "prompt": "a dragon", "note": "--v 6"}, prompt="a dragon --ar 16:9 --v 6"),
        ),
    ),
    Asked(
        "Use controlnet canny with this photo: a robot.",
        "photo",
        (
            weak(RUN, {"error": "controlnet"}, workflow="controlnet", inputs={"prompt": "a robot"}),
            weak(EDIT, {"error": "canny"}, prompt="a robot", model="canny"),
        ),
    ),
    Asked(
        "Make it into a video of five seconds.",
        "photo",
        (
            strong(
                RUN,
                {"length": 81, "from": ["photo.png"]},
                workflow="image_to_video",
                prompt="it moves",
                inputs={"seconds": 5, "size": "64x64"},
            ),
            weak(
                RUN,
                {"length": 81, "from": ["photo.png"]},
                workflow="video",
                inputs={"text": "it moves", "duration": "5 seconds", "image": "photo.png", "resolution": "64x64"},
            ),
        ),
    ),
    Asked(
        "Let it move, with Wan.",
        "one",
        (
            weak(
                RUN,
                {"workflow": "wan-image-to-video", "from": ["fox.png"], "length": 17, "note": "was taken for"},
                workflow="Wan",
                prompt="it moves",
                inputs={"size": "64x64", "time": "1 s"},
            ),
        ),
    ),
    Asked(
        "Run portrait with DPM++ 2M, twenty steps.",
        "empty",
        (
            weak(
                RUN,
                {"steps": 20, "sampler": "dpmpp_2m", "scheduler": "karras"},
                workflow="portrait",
                prompt="x",
                inputs={"sampler_name": "DPM++ 2M", "scheduler": "Karras", "steps": "twenty"},
            ),
        ),
    ),
    Asked(
        "Vary it a little.",
        "one",
        (
            strong(EDIT, {"denoise": 0.2, "from": ["fox.png"]}, prompt="a fox", strength=0.2),
            weak(EDIT, {"denoise": 0.2, "from": ["fox.png"]}, prompt="a fox", strength="20 %", images="last"),
            weak(EDIT, {"from": ["fox.png"], "note": "strength 0"}, prompt="a fox", strength=0),
        ),
    ),
    Asked(
        "Use the style of this photo for a picture of a train. Extend it to the left.",
        "photo",
        (
            strong(EDIT, {"from": ["photo.png"]}, prompt="A steam train in the colours and style of this image"),
            strong(EDIT, {"size": "480x240"}, prompt="Extend the scene to the left", size="480x240"),
            weak(DRAW, {"note": "edit_image works on the user's"}, prompt="a train in the style of the photo"),
            weak(RUN, {"error": "outpaint"}, workflow="outpaint", inputs={"left": 160}),
        ),
    ),
    Asked(
        "Do something cool.",
        "empty",
        (
            strong(DRAW, USUAL, prompt="A neon koi swimming through a starlit nebula"),
            weak(DRAW, {"prompt": "something cool"}, prompt="something cool"),
        ),
    ),
    Asked(
        "Give me the last one as JPEG. What seed did you use?",
        "one",
        (
            weak(RUN, {"error": "convert"}, workflow="convert", inputs={"format": "jpeg"}),
            weak(JOB, DONE),
        ),
    ),
    Asked(
        "Edit https://example.com/cat.jpg: add a hat.",
        "empty",
        (strong(EDIT, {"error": "attach it"}, prompt="Add a hat", images=["https://example.com/cat.jpg"]),),
    ),
)
