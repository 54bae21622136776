"""What people call what a workflow does: the words near each task.

Nobody asks for "text_to_audio". A search for "a song", "make a video" or "3d" means tasks:

    tasks_near("videos")  ->  ("text_to_video", "image_to_video", "video_to_video")

Words of one group stand for one another, so "speech" also finds a workflow that calls itself a TTS.
Where a workflow is to be named, `task_named` knows which one task is meant.
"""

import functools
import re
from collections.abc import Mapping, Sequence

VIDEO_TASKS = ("text_to_video", "image_to_video", "video_to_video")
PICTURE_TASKS = ("text_to_image", "image_edit", "image_to_image", "inpaint", "upscale")
# Words that mean the same, and the tasks that they mean; none where no bundled workflow does it.
_GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "video film movie clip animation animate animated vidéo vídeo pelicula película 動画 视频 영상",
        VIDEO_TASKS,
    ),
    (
        "music song audio sound melody tune jingle lyrics sing musik lied musique chanson música canción 音楽 歌",
        ("text_to_audio",),
    ),
    ("speech voice tts speak spoken narration narrate sprache stimme voix voz 音声 语音 음성", ()),
    ("3d mesh glb model3d sculpture", ("image_to_3d",)),
    ("image picture photo photograph bild foto imagen 画像 图片 그림", PICTURE_TASKS),
    ("draw drawing paint painting illustration txt2img t2i", ("text_to_image",)),
    ("edit editing change modify restyle retouch combine kontext", ("image_edit",)),
    ("remove erase replace delete background hintergrund", ("image_edit", "inpaint")),
    ("inpaint inpainting mask fill", ("inpaint",)),
    ("outpaint outpainting extend expand uncrop", ("image_edit", "inpaint")),
    (
        "upscale upscaler upscaling enlarge larger bigger 4k resolution superresolution",
        ("upscale",),
    ),
    ("vary variation img2img i2i", ("image_to_image",)),
    ("t2v txt2video text2video", ("text_to_video",)),
    ("i2v img2video image2video", ("image_to_video",)),
)
# The same for what only templates and people's own workflows do, where one word is not the
# beginning of the other.
_ALIKE = (
    "caption captioning interrogate",
    "segment segmentation cutout isolate isolating matting",
    "stitch collage grid montage",
    "vector vectorize svg",
    "slow slowmo fps interpolation",
    "outfit clothes clothing garment",
    "pose openpose skeleton keypoints",
    "layers layered decompose split",
    "talk talking lip avatar",
    "transition transitions morph flf2v",
)
# Words that say nothing about a workflow.
_STOP_WORDS = (
    "a an the make create generate produce run do does use show list find get give me my i want need please with for "
    "of to from by into and or in on at is are it this that workflow workflows any which what how can could you "
    "explain something some new installed available as its be"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())
EVERYTHING = frozenset({"all", "*", "everything", "any", "alles", "todo", "tout"})
SEVERAL = re.compile(r"[,;/]|\b(?:and|or|und|oder)\b")  # between what is searched for
MOST_SEARCHED = 300  # characters of a search


@functools.cache
def _groups_by_word() -> Mapping[str, tuple[frozenset[str], tuple[str, ...]]]:
    """A word -> the words of its group, and the tasks that they mean."""
    groups: dict[str, tuple[frozenset[str], tuple[str, ...]]] = {}
    for text, tasks in _GROUPS:
        words = frozenset(text.split())
        for word in words:
            groups[word] = (words, tasks)
    return groups


@functools.cache
def _words_alike() -> Mapping[str, frozenset[str]]:
    """A word -> the words that stand for the same."""
    groups = [frozenset(text.split()) for text in _ALIKE]
    return {word: group for group in groups for word in group}


def _group_of(word: str) -> tuple[frozenset[str], tuple[str, ...]]:
    groups = _groups_by_word()
    return groups.get(word) or groups.get(singular(word)) or (frozenset(), ())


def singular(word: str) -> str:
    """A word without the s of its plural."""
    return word[:-1] if len(word) > 3 and word.endswith("s") else word


def tasks_near(word: str) -> tuple[str, ...]:
    """The tasks that a word means, in lower case; none for most words."""
    _, tasks = _group_of(word)
    return tasks


def is_task_word(word: str) -> bool:
    """Whether a word says what is to be made or done, also where no bundled workflow does it."""
    words, _ = _group_of(word)
    return bool(words)


def search_words(search: str) -> list[str]:
    """The words of a search that say something, in lower case; none for one that asks for
    everything.
    """
    words = [
        word.strip("\"'?!.:;()[]") for word in re.split(r"[\s_,/]+", search[:MOST_SEARCHED].lower())
    ]
    if all(word in EVERYTHING or not word for word in words):
        return []
    return [word for word in dict.fromkeys(words) if word and word not in STOP_WORDS]


def asks_for_everything(search: str) -> bool:
    """Whether a search is "all" or the like."""
    return search.strip().lower() in EVERYTHING


def has_word(text: str, word: str) -> bool:
    """Whether a text in lower case holds a word, in the plural or the singular."""
    return word in text or singular(word) in text


def means(word: str, text: str, task: str) -> bool:
    """Whether a word of a search means a workflow: by its own text, in lower case, by its task, or
    by a word that stands for the same.
    """
    return has_word(text, word) or stands_for(word, single_words(text), task)


def single_words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(re.split(r"[\W_]+", text))


def stands_for(word: str, words: frozenset[str], task: str) -> bool:
    """Whether a word of a search means a workflow with those words, in lower case, by its task, or
    by a word that stands for the same.
    """
    same, tasks = _group_of(word)
    alike = same | _words_alike().get(word, frozenset())
    return task in tasks or not alike.isdisjoint(words)


# What ComfyUI's gallery calls the tasks of its templates. Tags are looked for in this order: those
# that say most come first.
_TAGS_OF_TASKS = (
    ("upscale", "image upscale"),
    ("inpaint", "inpainting|outpainting"),
    (
        "video_to_video",
        "video to video|video edit|video upscale|video extension|frame interpolation",
    ),
    ("image_to_video", "image to video|flf2v|reference to video"),
    ("text_to_video", "text to video"),
    ("image_to_3d", "image to 3d|image to model"),
    ("text_to_audio", "text to audio|text to music|text to speech"),
    (
        "image_edit",
        "image edit|style reference|style transfer|character reference|relight|virtual try-on",
    ),
    ("text_to_image", "text to image"),
    ("text", "text generation|speech to text"),
)


def task_of_tags(tags: Sequence[str], takes: Sequence[str]) -> str:
    """The task of a template with these tags that is given files of these kinds; "" where they do
    not tell.
    """
    plain = {tag.lower() for tag in tags}
    named = [task for task, names in _TAGS_OF_TASKS if not plain.isdisjoint(names.split("|"))]
    task = named[0] if named else ""
    if "video" in takes and task not in ("text", "image_to_3d", "text_to_audio"):
        return "video_to_video"
    if task == "text_to_image" and "image" in takes:
        return "image_edit"
    if task == "text_to_video" and "image" in takes:
        return "image_to_video"
    return task


def names_task(tag: str) -> bool:
    """Whether a tag of the gallery says no more than a task does."""
    tasks = {task for task, _ in _TAGS_OF_TASKS}
    return tag.lower().replace(" ", "_") in tasks or bool(tasks_near(tag.lower()))


# What people call a task where a workflow is to be named, in one word without spaces.
_TASK_NAMES = {
    "text_to_image": "text2image texttoimage txt2img t2i imagegeneration image picture photo drawing painting",
    "image_edit": "imageedit imageediting editimage edit photoediting combine combineimages imagecombination",
    "image_to_image": "imagetoimage img2img image2image i2i",
    "inpaint": "inpaint inpainting",
    "upscale": "upscale upscaling upscaler enlarge superresolution",
    "text_to_video": "text2video texttovideo txt2vid t2v videogeneration",
    "image_to_video": (
        "image2video imagetovideo img2vid i2v animate animateimage animatephoto imageanimation videoimage videophoto "
        "imagevideo photovideo"
    ),
    "text_to_audio": "text2audio texttoaudio t2a texttomusic text2music musicgeneration",
    "video_to_video": "videotovideo video2video vid2vid v2v videoediting editvideo",
    "image_to_3d": "imageto3d image23d imagetomodel 3d 3dmodel model3d 3dmesh mesh 3dobject",
}
TASK_NAMES = {word: task for task, words in _TASK_NAMES.items() for word in words.split()}
_AROUND_TASK = "a an the make create generate run do workflow task please some me of from out into this that it my"
AROUND_TASK = frozenset(_AROUND_TASK.split())


def task_named(name: str, pictures: int = 0) -> str:
    """The task that somebody means by a name: "image_to_video", "Image to Video", "make a song"; ""
    for any other name. With pictures to work on, a video is one of these.
    """
    words = [
        word
        for word in re.split(r"[\W_]+", name[:MOST_SEARCHED].casefold())
        if word not in AROUND_TASK
    ]
    word = "".join(words)
    if word in TASK_NAMES:
        return TASK_NAMES[word]
    tasks = tasks_near(word)
    if tasks == VIDEO_TASKS:
        return "image_to_video" if pictures else "text_to_video"
    return tasks[0] if tasks in (("text_to_audio",), ("image_to_3d",)) else ""


# What is meant by a task that takes no pictures, where some are given to work on.
WITH_PICTURES = {"text_to_video": "image_to_video"}


def done_elsewhere(name: str) -> list[str]:
    """The words of a name for what no bundled workflow does, such as "speech" and "3d"."""
    return [
        word
        for word in search_words(name)
        if is_task_word(word) and tasks_near(word) in ((), ("image_to_3d",))
    ]
