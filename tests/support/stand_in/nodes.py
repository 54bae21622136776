"""What the nodes do: each a small function from inputs to outputs.

A node is a function with the class's name in `@node`, its first argument the Run, the others the node's inputs by name.
It returns its outputs as a tuple, or a Shown when it has something for `executed` and the history. A class that has a
definition and no function passes its inputs on by type (`passed_on`).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import io
import json
import math
import random
import string
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from PIL import Image, ImageFilter, ImageOps, PngImagePlugin, UnidentifiedImageError

from . import media, painting
from .files import Files, OutsideFolder, Place, inside

Outputs = tuple[Any, ...]


@dataclass(frozen=True)
class Shown:
    """Outputs, and what the node shows: `ui` goes into `executed` and the history."""

    ui: dict[str, Any]
    outputs: Outputs = ()


@dataclass(frozen=True)
class Token:
    """A model, a VAE, … : something that is only passed on."""

    type: str
    name: str = ""


@dataclass(frozen=True)
class Conditioning:
    text: str
    references: tuple[Image.Image, ...] = ()  # pictures to edit or to follow, in order


@dataclass(frozen=True)
class Latent:
    width: int
    height: int
    batch: int = 1
    text: str = ""
    seed: int = 0
    denoise: float = 1.0
    sources: tuple[Image.Image, ...] = ()
    mask: Image.Image | None = None
    references: tuple[Image.Image, ...] = ()
    sampled: bool = False


@dataclass(frozen=True)
class Sigmas:
    steps: int
    denoise: float = 1.0


@dataclass(frozen=True)
class Audio:
    content: bytes = b""  # of the file it was loaded from


@dataclass(frozen=True)
class Video:
    images: tuple[Image.Image, ...]
    fps: float
    content: bytes = b""
    sound: bool = False


class Run(Protocol):
    """What a node may use of the engine."""

    files: Files
    load_seconds: float
    step_seconds: float
    prompt: dict[str, Any]
    pnginfo: Any
    definition: dict[str, Any]
    inputs: dict[str, Any]
    no_outputs: bool

    async def progress(
        self, value: int, total: int, image: bytes | None = None, image_type: str = "image/jpeg"
    ) -> None: ...
    async def step(self, value: int, total: int, image: Callable[[], bytes]) -> None: ...
    async def text(self, text: str) -> None: ...
    def poll_while_decoding(self) -> None: ...


Node = Callable[..., Awaitable[Outputs | Shown]]
NODES: dict[str, Callable[..., Any]] = {}


def node(*class_types: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        NODES.update(dict.fromkeys(class_types, function))
        return function

    return register


async def execute(run: Run, class_type: str) -> Shown:
    function: Callable[..., Any] = NODES.get(class_type, passed_on)
    takes = inspect.signature(function).parameters
    anything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes.values())
    given = run.inputs if anything else {name: value for name, value in run.inputs.items() if name in takes}
    result: Any = function(run, **given)
    if inspect.isawaitable(result):
        result = await result
    return result if isinstance(result, Shown) else Shown({}, result)


def passed_on(run: Run, **inputs: Any) -> Outputs:
    """The n-th output of a type is the n-th input of that type; without one, something new of that type."""
    sections = run.definition["input"]
    types = {name: spec[0] for section in ("required", "optional") for name, spec in sections.get(section, {}).items()}
    spoken = " ".join(value for name, value in inputs.items() if types.get(name) == "STRING" and isinstance(value, str))
    results: list[Any] = []
    for position, wanted in enumerate(run.definition["output"]):
        same = [value for name, value in inputs.items() if types.get(name) == wanted]
        nth = run.definition["output"][:position].count(wanted)
        new = Conditioning(spoken) if wanted == "CONDITIONING" else Token(str(wanted), spoken)
        results.append(same[min(nth, len(same) - 1)] if same else new)
    return tuple(results)


# --- loaders ----------------------------------------------------------------------------------------------------------


@node("CheckpointLoaderSimple", "UNETLoader", "CLIPLoader", "DualCLIPLoader", "TripleCLIPLoader", "VAELoader")
@node("ControlNetLoader", "UpscaleModelLoader", "CLIPVisionLoader", "StyleModelLoader")
async def loader(run: Run, **names: Any) -> Outputs:
    await asyncio.sleep(run.load_seconds)
    return tuple(Token(kind, str(next(iter(names.values())))) for kind in run.definition["output"])


@node("LoraLoader", "LoraLoaderModelOnly")
async def lora(run: Run, **inputs: Any) -> Outputs:
    await asyncio.sleep(run.load_seconds)
    return passed_on(run, **inputs)


@node("LoadImage", "LoadImageOutput")
def load_image(run: Run, image: str) -> Outputs:
    opened = opened_image(run, image, "output" if run.definition["name"] == "LoadImageOutput" else "input")
    if opened.mode == "P" and "transparency" in opened.info:
        opened = opened.convert("RGBA")
    mask = ImageOps.invert(opened.getchannel("A")) if "A" in opened.getbands() else Image.new("L", (64, 64))
    return ((opened.convert("RGB"),), (mask,))


@node("LoadImageMask")
def load_image_mask(run: Run, image: str, channel: str) -> Outputs:
    opened = opened_image(run, image, "input").convert("RGBA")
    band = opened.getchannel(channel[0].upper())
    return ((ImageOps.invert(band) if channel == "alpha" else band,),)


def opened_image(run: Run, name: str, kind: str) -> Image.Image:
    file = run.files.get(run.files.find(name, kind=kind))
    if file is None:
        raise FileNotFoundError(f"[Errno 2] No such file or directory: '{name}'")
    try:
        image = Image.open(io.BytesIO(file.content))
        image.load()
    except UnidentifiedImageError:
        raise UnidentifiedImageError(f"cannot identify image file '{name}'") from None
    return ImageOps.exif_transpose(image)


@node("LoadAudio")
def load_audio(run: Run, audio: str) -> Outputs:
    file = run.files.get(run.files.find(audio, kind="input"))
    return (Audio(content=file.content if file else b""),)


@node("LoadVideo")
def load_video(run: Run, file: str) -> Outputs:
    found = run.files.get(run.files.find(file, kind="input"))
    return (Video((Image.new("RGB", (64, 64)),), 24.0, found.content if found else b""),)


# --- text and numbers -------------------------------------------------------------------------------------------------


@node("CLIPTextEncode")
def clip_text_encode(run: Run, text: str, clip: Any) -> Outputs:
    return (Conditioning(text),)


@node("ReferenceLatent")
def reference_latent(run: Run, conditioning: Conditioning, latent: Latent | None = None) -> Outputs:
    return (replace(conditioning, references=(*conditioning.references, *(latent.sources[:1] if latent else ()))),)


@node("TextEncodeQwenImageEdit", "TextEncodeQwenImageEditPlus")
def text_encode_qwen_image_edit(run: Run, prompt: str, **images: Any) -> Outputs:
    given = [images[name] for name in ("image", "image1", "image2", "image3") if images.get(name)]
    return (Conditioning(prompt, tuple(pictures[0] for pictures in given)),)


@node("ConditioningZeroOut")
def conditioning_zero_out(run: Run, conditioning: Conditioning) -> Outputs:
    return (Conditioning(""),)


@node("PrimitiveString", "PrimitiveStringMultiline", "PrimitiveInt", "PrimitiveFloat", "PrimitiveBoolean")
def primitive(run: Run, value: Any) -> Outputs:
    return (value,)


@node("StringConcatenate")
def string_concatenate(run: Run, string_a: str, string_b: str, delimiter: str) -> Outputs:
    return (delimiter.join((string_a, string_b)),)


@node("PreviewAny")
def preview_any(run: Run, source: Any) -> Shown:
    text = str(source)
    return Shown({"text": [text]}, (text,))


# --- latents and sampling ---------------------------------------------------------------------------------------------


@node("EmptyLatentImage", "EmptySD3LatentImage", "EmptyFlux2LatentImage")
def empty_latent(run: Run, width: int, height: int, batch_size: int) -> Outputs:
    return (Latent(width // 8 * 8, height // 8 * 8, batch_size),)


@node("EmptyLatentHunyuan3Dv2")
def empty_model_latent(run: Run, batch_size: int) -> Outputs:
    return (Latent(64, 64, batch_size),)


@node("EmptyHunyuanLatentVideo", "EmptyLTXVLatentVideo")
def empty_video_latent(run: Run, width: int, height: int, length: int, batch_size: int) -> Outputs:
    return (Latent(width // 8 * 8, height // 8 * 8, length),)


@node("WanImageToVideo", "LTXVImgToVideo")
def video_latent_of_image(
    run: Run, positive: Any, negative: Any, width: int, height: int, length: int, **image: Any
) -> Outputs:
    sources = image.get("start_image") or image.get("image") or ()
    return (positive, negative, Latent(width // 8 * 8, height // 8 * 8, length, sources=sources))


@node("Wan22ImageToVideoLatent")
def wan22_image_to_video_latent(run: Run, width: int, height: int, length: int, start_image: Any = ()) -> Outputs:
    return (Latent(width // 8 * 8, height // 8 * 8, length, sources=start_image),)


@node("EmptyAceStepLatentAudio", "EmptyAceStep1.5LatentAudio")
def empty_audio_latent(run: Run) -> Outputs:
    return (Latent(64, 64),)


@node("LTXVLatentUpsampler")
def ltxv_latent_upsampler(run: Run, samples: Latent) -> Outputs:
    return (replace(samples, width=2 * samples.width, height=2 * samples.height),)


@node("VAEEncode")
def vae_encode(run: Run, pixels: tuple[Image.Image, ...], vae: Any) -> Outputs:
    width, height = pixels[0].size
    return (Latent(width // 8 * 8, height // 8 * 8, len(pixels), sources=pixels),)


@node("VAEEncodeForInpaint")
def vae_encode_for_inpaint(
    run: Run, pixels: Any, vae: Any, mask: tuple[Image.Image, ...], grow_mask_by: int
) -> Outputs:
    (latent,) = vae_encode(run, pixels, vae)
    grown = mask[0].resize(pixels[0].size).filter(ImageFilter.MaxFilter(2 * (grow_mask_by // 2) + 1))
    return (replace(latent, mask=grown),)


@node("InpaintModelConditioning")
def inpaint_model_conditioning(
    run: Run, positive: Any, negative: Any, vae: Any, pixels: Any, mask: tuple[Image.Image, ...]
) -> Outputs:
    (latent,) = vae_encode(run, pixels, vae)
    return (positive, negative, replace(latent, mask=mask[0].resize(pixels[0].size)))


@node("SetLatentNoiseMask")
def set_latent_noise_mask(run: Run, samples: Latent, mask: tuple[Image.Image, ...]) -> Outputs:
    return (replace(samples, mask=mask[0]),)


@node("LatentUpscaleBy")
def latent_upscale_by(run: Run, samples: Latent, upscale_method: str, scale_by: float) -> Outputs:
    return (
        replace(samples, width=int(samples.width * scale_by) // 8 * 8, height=int(samples.height * scale_by) // 8 * 8),
    )


@node("LatentUpscale")
def latent_upscale(run: Run, samples: Latent, upscale_method: str, width: int, height: int, crop: str) -> Outputs:
    return (replace(samples, width=(width or samples.width) // 8 * 8, height=(height or samples.height) // 8 * 8),)


@node("RepeatLatentBatch")
def repeat_latent_batch(run: Run, samples: Latent, amount: int) -> Outputs:
    return (replace(samples, batch=samples.batch * amount),)


@node("LatentConcat")
def latent_concat(run: Run, samples1: Latent, samples2: Latent, dim: str) -> Outputs:
    if dim.lstrip("-") not in ("x", "y", "t"):
        raise TypeError("cat(): argument 'dim' must be int, not str")
    return (samples1,)


@node("KSampler")
async def ksampler(
    run: Run, seed: int, steps: int, denoise: float, positive: Any, latent_image: Latent, model: Any
) -> Outputs:
    expect_model(model)
    return (await sampled(run, steps, positive, seed, denoise, latent_image),)


@node("KSamplerAdvanced")
async def ksampler_advanced(
    run: Run, noise_seed: int, steps: int, positive: Any, latent_image: Latent, start_at_step: int, end_at_step: int
) -> Outputs:
    done = max(0, min(steps, end_at_step) - start_at_step)
    return (
        await sampled(run, done, positive, noise_seed, done / steps if latent_image.sources else 1.0, latent_image),
    )


@node("RandomNoise")
def random_noise(run: Run, noise_seed: int) -> Outputs:
    return (noise_seed,)


@node("BasicScheduler")
def basic_scheduler(run: Run, steps: int, denoise: float) -> Outputs:
    return (Sigmas(steps, denoise),)


@node("Flux2Scheduler", "LTXVScheduler")
def scheduler(run: Run, steps: int) -> Outputs:
    return (Sigmas(steps),)


@node("ManualSigmas")
def manual_sigmas(run: Run, sigmas: str) -> Outputs:
    return (Sigmas(sigmas.count(",")),)


@node("SplitSigmasDenoise")
def split_sigmas_denoise(run: Run, sigmas: Sigmas, denoise: float) -> Outputs:
    second = round(sigmas.steps * denoise)
    return (Sigmas(sigmas.steps - second, sigmas.denoise), Sigmas(second, sigmas.denoise * denoise))


@node("BasicGuider")
def basic_guider(run: Run, conditioning: Conditioning) -> Outputs:
    return (conditioning,)


@node("CFGGuider")
def cfg_guider(run: Run, positive: Conditioning) -> Outputs:
    return (positive,)


@node("SamplerCustom")
async def sampler_custom(
    run: Run, model: Any, noise_seed: int, positive: Any, sigmas: Sigmas, latent_image: Latent
) -> Outputs:
    expect_model(model)
    result = await sampled(run, sigmas.steps, positive, noise_seed, sigmas.denoise, latent_image)
    return (result, result)


@node("SamplerCustomAdvanced")
async def sampler_custom_advanced(run: Run, noise: int, guider: Any, sigmas: Sigmas, latent_image: Latent) -> Outputs:
    result = await sampled(run, sigmas.steps, guider, noise, sigmas.denoise, latent_image)
    return (result, result)


def expect_model(model: Any) -> None:
    """A literal passes the validation where a model belongs; the sampler is the first to miss it."""
    if isinstance(model, (str, int, float)):
        raise AttributeError(f"'{type(model).__name__}' object has no attribute 'get_model_object'")


async def sampled(run: Run, steps: int, positive: Conditioning, seed: int, denoise: float, latent: Latent) -> Latent:
    latent = replace(latent, text=positive.text, references=positive.references)
    result = replace(latent, seed=seed, denoise=denoise, sampled=True)
    for step in range(1, steps + 1):
        await asyncio.sleep(run.step_seconds)
        await run.step(step, steps, functools.partial(shown_step, result, step / steps))
    return result


def shown_step(latent: Latent, share: float) -> bytes:
    return painting.preview(sketch(latent), share, latent.seed)


def sketch(latent: Latent) -> Image.Image:
    """The first picture of the batch in the size of a preview."""
    scale = painting.PREVIEW_SIDE / max(latent.width, latent.height)
    return decoded(latent, 0, (max(8, round(latent.width * scale)), max(8, round(latent.height * scale))))


def decoded(latent: Latent, index: int, size: tuple[int, int]) -> Image.Image:
    if not latent.sampled:
        sources = latent.sources
        return sources[index % len(sources)].resize(size) if sources else Image.new("RGB", size, (120, 116, 110))
    image = painting.scene(latent.text, latent.seed, latent.width, latent.height, index, size)
    image = painting.with_stripes(image, latent.references)
    if not latent.sources:
        return image
    source = latent.sources[index % len(latent.sources)]
    return painting.painted_over(source, image, latent.denoise, latent.mask)


@node("VAEDecode", "VAEDecodeTiled")
async def vae_decode(run: Run, samples: Latent) -> Outputs:
    def paint(index: int) -> Image.Image:
        image = decoded(samples, index, (samples.width, samples.height))
        return painting.captioned(image, samples.text, samples.seed) if samples.sampled else image

    images = []
    for index in range(samples.batch):
        images.append(await asyncio.to_thread(paint, index))
        run.poll_while_decoding()
    return (tuple(images),)


# --- images and masks -------------------------------------------------------------------------------------------------


@node("PartnerImage", "PartnerFixed", "PartnerPerSecond", "PartnerSilent")
def partner_image(run: Run, seed: int) -> Outputs:
    return ((Image.new("RGB", (64, 64), (seed % 256, 90, 120)),),)


@node("EmptyImage")
def empty_image(run: Run, width: int, height: int, batch_size: int, color: int) -> Outputs:
    rgb = (color >> 16 & 255, color >> 8 & 255, color & 255)
    return (tuple(Image.new("RGB", (width, height), rgb) for _ in range(batch_size)),)


METHODS = {
    "nearest-exact": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@node("ImageScale")
async def image_scale(run: Run, image: Any, upscale_method: str, width: int, height: int, crop: str) -> Outputs:
    method = METHODS[upscale_method]

    def scaled(picture: Image.Image) -> Image.Image:
        w = width or round(picture.width * height / picture.height)
        h = height or round(picture.height * width / picture.width)
        return ImageOps.fit(picture, (w, h), method) if crop == "center" else picture.resize((w, h), method)

    return (await asyncio.to_thread(lambda: tuple(map(scaled, image))),)


@node("ImageScaleBy")
async def image_scale_by(run: Run, image: Any, upscale_method: str, scale_by: float) -> Outputs:
    return (await enlarged(image, scale_by),)


@node("ImageUpscaleWithModel")
async def image_upscale_with_model(run: Run, upscale_model: Token, image: Any) -> Outputs:
    return (await enlarged(image, float(upscale_model.name[:1]) if upscale_model.name[:1].isdigit() else 4.0),)


@node("ImageScaleToTotalPixels")
async def image_scale_to_total_pixels(run: Run, image: Any, megapixels: float) -> Outputs:
    return (await enlarged(image, math.sqrt(megapixels * 1024 * 1024 / (image[0].width * image[0].height))),)


@node("ResizeImageMaskNode")
async def resize_image_mask(run: Run, input: Any, resize_type: str, **chosen: Any) -> Outputs:
    width, height = input[0].size
    given = {name.removeprefix("resize_type."): value for name, value in chosen.items()}
    if resize_type == "scale dimensions":
        return (tuple(picture.resize((given["width"] or width, given["height"] or height)) for picture in input),)
    factors: dict[str, Callable[[float], float]] = {
        "multiplier": lambda value: value,
        "longer_size": lambda value: value / max(width, height),
        "shorter_size": lambda value: value / min(width, height),
        "width": lambda value: value / width,
        "height": lambda value: value / height,
        "megapixels": lambda value: math.sqrt(value * 1024 * 1024 / (width * height)),
    }
    factor = next((factors[name](value) for name, value in given.items() if name in factors), 1.0)
    return (await enlarged(input, factor),)


async def enlarged(images: tuple[Image.Image, ...], factor: float) -> tuple[Image.Image, ...]:
    return await asyncio.to_thread(
        lambda: tuple(i.resize((max(1, round(i.width * factor)), max(1, round(i.height * factor)))) for i in images)
    )


@node("ImageInvert")
def image_invert(run: Run, image: Any) -> Outputs:
    return (tuple(ImageOps.invert(picture) for picture in image),)


@node("ImageBatch")
def image_batch(run: Run, image1: Any, image2: Any) -> Outputs:
    return ((*image1, *(picture.resize(image1[0].size) for picture in image2)),)


@node("ImageFromBatch")
def image_from_batch(run: Run, image: Any, batch_index: int, length: int) -> Outputs:
    return (image[batch_index : batch_index + length] or image[-1:],)


@node("GetImageSize")
async def get_image_size(run: Run, image: Any) -> Outputs:
    width, height = image[0].size
    await run.text(f"width: {width}, height: {height}\n batch size: {len(image)}")
    return (width, height, len(image))


@node("ImageCompositeMasked")
def image_composite_masked(
    run: Run, destination: Any, source: Any, x: int, y: int, resize_source: bool, mask: Any = ()
) -> Outputs:
    def composed(index: int, below: Image.Image) -> Image.Image:
        above = source[index % len(source)]
        above = above.resize(below.size, Image.Resampling.BILINEAR) if resize_source else above
        layer = mask[index % len(mask)].resize(above.size, Image.Resampling.BILINEAR) if mask else None
        result = below.copy()
        result.paste(above, (x, y), layer)
        return result

    return (tuple(composed(index, below) for index, below in enumerate(destination)),)


@node("SolidMask")
def solid_mask(run: Run, value: float, width: int, height: int) -> Outputs:
    return ((Image.new("L", (width, height), round(value * 255)),),)


@node("InvertMask")
def invert_mask(run: Run, mask: Any) -> Outputs:
    return (tuple(ImageOps.invert(layer) for layer in mask),)


@node("MaskToImage")
def mask_to_image(run: Run, mask: Any) -> Outputs:
    return (tuple(layer.convert("RGB") for layer in mask),)


@node("ImageToMask")
def image_to_mask(run: Run, image: Any, channel: str) -> Outputs:
    return (tuple(picture.convert("RGBA").getchannel(channel[0].upper()) for picture in image),)


# --- sound and film ---------------------------------------------------------------------------------------------------


@node("EmptyAudio")
def empty_audio(run: Run) -> Outputs:
    return (Audio(),)


@node("VAEDecodeAudio", "LTXVAudioVAEDecode")
def vae_decode_audio(run: Run) -> Outputs:
    return (Audio(),)


@node("CreateVideo")
def create_video(run: Run, images: Any, fps: float, audio: Any = None) -> Outputs:
    return (Video(images, fps, sound=audio is not None),)


@node("GetVideoComponents")
def get_video_components(run: Run, video: Video) -> Outputs:
    return (video.images, Audio(), video.fps)


def animation(images: tuple[Image.Image, ...], fps: float, file_format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    first, *others = images
    first.save(stream, file_format, save_all=True, append_images=others, duration=int(1000 / fps), loop=0, **options)
    return stream.getvalue()


# --- nodes that end a graph -------------------------------------------------------------------------------------------


@dataclass
class Names:
    """The numbered names of one save: prefix_00001_.png, prefix_00002_.png, …"""

    run: Run
    kind: str
    prefix: str
    size: tuple[int, int] = (0, 0)
    number: int = 0
    subfolder: str = field(init=False)
    stem: str = field(init=False)

    def __post_init__(self) -> None:
        now = time.localtime()
        values = {"year": f"{now.tm_year}", "month": f"{now.tm_mon:02}", "day": f"{now.tm_mday:02}"}
        values |= {"hour": f"{now.tm_hour:02}", "minute": f"{now.tm_min:02}", "second": f"{now.tm_sec:02}"}
        values |= {"width": str(self.size[0]), "height": str(self.size[1])}
        prefix = self.prefix
        for name, value in values.items():
            prefix = prefix.replace(f"%{name}%", value)
        folder, _, self.stem = prefix.rpartition("/")
        try:
            self.subfolder = inside(folder)
        except OutsideFolder:
            raise Exception("Saving image outside the output folder is not allowed.") from None
        self.number = self.run.files.next_number(self.kind, self.subfolder, self.stem)

    def put(self, content: bytes, suffix: str, tail: str = "_") -> dict[str, str]:
        place = Place(self.kind, self.subfolder, f"{self.stem}_{self.number:05}{tail}.{suffix}")
        self.number += 1
        return self.run.files.put(place, content).as_output


EXIF_MODEL = 0x0110
VHS_SUFFIXES = {"video/h264-mp4": "mp4"}


def texts(run: Run) -> dict[str, str]:
    """What a file says of its making, as JSON."""
    return {"prompt": json.dumps(run.prompt), **{key: json.dumps(run.pnginfo[key]) for key in run.pnginfo or {}}}


def png_file(image: Image.Image, run: Run) -> bytes:
    info = PngImagePlugin.PngInfo()
    for key, text in texts(run).items():
        info.add_text(key, text)
    stream = io.BytesIO()
    image.save(stream, "PNG", pnginfo=info, compress_level=1)
    return stream.getvalue()


def temp_prefix() -> str:
    return "ComfyUI_temp_" + "".join(random.choices(string.ascii_lowercase, k=5))


async def saved_images(run: Run, images: tuple[Image.Image, ...], kind: str, prefix: str) -> Shown:
    if run.no_outputs:
        return Shown({"images": []}, (images,))
    names = Names(run, kind, prefix, images[0].size)
    written = [names.put(await asyncio.to_thread(png_file, image, run), "png") for image in images]
    return Shown({"images": written} | ({"animated": [False]} if is_v3(run) else {}), (images,))


@node("SaveImage")
async def save_image(run: Run, images: Any, filename_prefix: str = "ComfyUI") -> Shown:
    return await saved_images(run, images, "output", filename_prefix)


@node("SaveImageAdvanced")
async def save_image_advanced(run: Run, images: Any, filename_prefix: str, **more: Any) -> Shown:
    return await saved_images(run, images, "output", filename_prefix)


@node("PreviewImage")
async def preview_image(run: Run, images: Any) -> Shown:
    return await saved_images(run, images, "temp", temp_prefix())


@node("MaskPreview")
async def mask_preview(run: Run, mask: Any) -> Shown:
    return await saved_images(run, tuple(layer.convert("RGB") for layer in mask), "temp", temp_prefix())


@node("SaveImageWebsocket")
async def save_image_websocket(run: Run, images: Any) -> Outputs:
    for index, image in enumerate(images):
        stream = io.BytesIO()
        await asyncio.to_thread(image.save, stream, "PNG", compress_level=1)
        await run.progress(index, len(images), stream.getvalue(), "image/png")
    return ()


@node("SaveAnimatedWEBP")
async def save_animated_webp(
    run: Run, images: Any, filename_prefix: str, fps: float, lossless: bool, quality: int
) -> Shown:
    exif = images[0].getexif()
    for tag, (name, value) in zip(range(EXIF_MODEL, 0, -1), texts(run).items(), strict=False):
        exif[tag] = f"{name}:{value}"
    options = {"lossless": lossless, "quality": quality, "method": 0, "exif": exif}
    content = await asyncio.to_thread(lambda: animation(images, fps, "WEBP", **options))
    return moving(run, images, filename_prefix, content, "webp")


@node("SaveAnimatedPNG")
async def save_animated_png(run: Run, images: Any, filename_prefix: str, fps: float, compress_level: int) -> Shown:
    info = PngImagePlugin.PngInfo()
    for name, value in texts(run).items():
        info.add(b"comf", name.encode("latin-1") + b"\0" + value.encode("latin-1"), after_idat=True)
    options = {"compress_level": compress_level, "pnginfo": info}
    content = await asyncio.to_thread(lambda: animation(images, fps, "PNG", **options))
    return moving(run, images, filename_prefix, content, "png")


@node("SaveVideo")
def save_video(run: Run, video: Video, filename_prefix: str, format: str = "auto", **more: Any) -> Shown:
    suffix = "mp4" if format == "auto" else format
    content = media.video(suffix, video.sound, video.content)
    return replace(moving(run, video.images, filename_prefix, content, suffix), outputs=(video,))


@node("SaveWEBM")
def save_webm(run: Run, images: Any, filename_prefix: str) -> Shown:
    return moving(run, images, filename_prefix, media.video("webm"), "webm")


@node("VHS_VideoCombine")
def vhs_video_combine(
    run: Run, images: Any, frame_rate: float, filename_prefix: str, format: str, save_output: bool
) -> Shown:
    """Besides the video there is a picture of its first frame, which only its entry names."""
    names = Names(run, "output" if save_output else "temp", filename_prefix, images[0].size)
    number = names.number
    workflow = names.put(png_file(images[0], run), "png", "")
    names.number = number
    suffix = VHS_SUFFIXES.get(format, format.partition("/")[2])
    content = media.video(suffix) if format.startswith("video/") else animation(images, frame_rate, suffix.upper())
    entry = {**names.put(content, suffix, ""), "format": format, "frame_rate": frame_rate}
    entry |= {"workflow": workflow["filename"], "fullpath": f"/comfyui/{entry['type']}/{entry['filename']}"}
    return Shown({"gifs": [entry]}, ((bool(save_output), [entry["filename"]]),))


def moving(run: Run, images: Any, prefix: str, content: bytes, suffix: str) -> Shown:
    written = Names(run, "output", prefix, images[0].size).put(content, suffix)
    return Shown({"images": [written], "animated": [True]}, (images,))


def is_v3(run: Run) -> bool:
    """The newer kind of node: it says whether its pictures move, and names sounds without the last underscore."""
    return "output_matchtypes" in run.definition


def saved_audio(run: Run, audio: Audio, kind: str, prefix: str, suffix: str) -> Shown:
    written = Names(run, kind, prefix).put(media.sound(suffix, audio.content), suffix, "" if is_v3(run) else "_")
    return Shown({"audio": [written]}, (audio,))


@node("SaveAudio")
def save_audio(run: Run, audio: Audio, filename_prefix: str) -> Shown:
    return saved_audio(run, audio, "output", filename_prefix, "flac")


@node("SaveAudioMP3")
def save_audio_mp3(run: Run, audio: Audio, filename_prefix: str) -> Shown:
    return saved_audio(run, audio, "output", filename_prefix, "mp3")


@node("SaveAudioOpus")
def save_audio_opus(run: Run, audio: Audio, filename_prefix: str) -> Shown:
    return saved_audio(run, audio, "output", filename_prefix, "opus")


@node("SaveAudioAdvanced")
def save_audio_advanced(run: Run, audio: Audio, filename_prefix: str, format: str, **more: Any) -> Shown:
    return saved_audio(run, audio, "output", filename_prefix, format)


@node("PreviewAudio")
def preview_audio(run: Run, audio: Audio) -> Shown:
    return saved_audio(run, audio, "temp", temp_prefix(), "flac")


@node("SaveLatent")
def save_latent(run: Run, samples: Latent, filename_prefix: str) -> Shown:
    shape = [samples.batch, 4, samples.height // 8, samples.width // 8]
    size = 4 * math.prod(shape)
    tensors = {
        "latent_format_version_0": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]},
        "latent_tensor": {"dtype": "F32", "shape": shape, "data_offsets": [0, size]},
    }
    head = json.dumps({"__metadata__": texts(run), **tensors}).encode()
    content = struct.pack("<Q", len(head)) + head + bytes(size)
    written = Names(run, "output", filename_prefix).put(content, "latent")
    return Shown({"latents": [written]}, (samples,))


@node("SaveText")
def save_text(run: Run, text: str, filename_prefix: str, format: str) -> Shown:
    content = text
    if format == "json":
        with contextlib.suppress(ValueError):
            content = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    written = Names(run, "output", filename_prefix).put(content.encode(), format, "")
    return Shown({"text": [text], "files": [written]}, (text,))


@node("SaveGLB")
def save_glb(run: Run, mesh: Any, filename_prefix: str) -> Shown:
    return Shown({"3d": [Names(run, "output", filename_prefix).put(media.glb_file(), "glb")]})


@node("Save3DAdvanced")
def save_3d_advanced(run: Run, model_3d: Any, filename_prefix: str, width: int, height: int) -> Shown:
    """The file is named by its path in the folder alone."""
    written = Names(run, "output", filename_prefix).put(media.glb_file(), "glb", "")
    path = "/".join(filter(None, (written["subfolder"], written["filename"])))
    return Shown({"result": [path, None, []]}, (model_3d, None, None, width, height))


@node("Preview3D")
def preview_3d(run: Run, model_file: Any, camera_info: Any = None) -> Shown:
    """Of a path nothing is written; of a model a copy lies in output/."""
    if not isinstance(model_file, str):
        name = f"preview3d_{''.join(random.choices('0123456789abcdef', k=32))}.glb"
        model_file = run.files.put(Place("output", "", name), media.glb_file()).name
    return Shown({"result": [model_file, camera_info, *([None] if is_v3(run) else [])]})
