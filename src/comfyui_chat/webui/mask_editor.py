"""The editor in which the user paints a mask over a picture of the chat, and the check of what comes
back.

`paint_mask` opens the editor in the page (webui/page_dialog.py). The page fetches the picture by
its address, as the user; one that has none in Open WebUI, as in temporary chats, goes along as a
small copy. The user paints on a canvas of at most `MOST_PAINTED_SIDE` pixels a side, which every
phone can hold, and which is scaled up later. What comes back is a PNG, white on black, as a data
URI. It is taken for what anybody may have sent in its place: its length, its kind, its size and its
content are looked at before and while it is decoded.
"""

import base64
from typing import Any

from PIL import Image

from ..errors import BadArgument
from ..logs import log
from ..media.kinds import open_picture
from ..media.pictures import read_mask, small_copy
from ..sizes import Size
from ..threads import PICTURES
from .chat import Chat
from .page_dialog import DialogFailed, ask_in_page
from .references import FILE_REFERENCE

MOST_PAINTED_SIDE = 2048  # pixels of the mask that is painted
MOST_PAINTED_CHARACTERS = 8_000_000  # of its data URI; the page's connection takes 16 MB at once
COPY_PIXELS, COPY_BYTES = 1024, 400_000  # of a copy that goes along
PNG_URI = "data:image/png;base64,"
WITHOUT_PAINTING = (
    'Do not ask again by yourself. Without "paint", mask takes the number of a picture that is white where to repaint, '
    'or "transparency"; or leave it out and say in the prompt where the change is.'
)

MASK_EDITOR = r"""
const EDITOR_STYLE = `
  main { touch-action: none; cursor: none; background: var(--soft); outline: none; }
  main.moving { cursor: grabbing; }
  main:focus-visible::after { content: ""; position: absolute; inset: 0; pointer-events: none;
                              box-shadow: inset 0 0 0 2px var(--chosen); }
  .stage { position: absolute; left: 0; top: 0; transform-origin: 0 0; }
  .stage canvas { position: absolute; inset: 0; width: 100%; height: 100%; }
  .picture { background: repeating-conic-gradient(#bbb 0 25%, #eee 0 50%) 0 0 / 20px 20px; }
  .mask { opacity: .6; }
  .brush { position: absolute; border: 2px solid #fff; border-radius: 50%; box-shadow: 0 0 0 1px #000;
           transform: translate(-50%, -50%); pointer-events: none; visibility: hidden; }
  label { display: flex; flex: none; gap: 8px; align-items: center; }
  input { width: 120px; accent-color: var(--chosen); min-height: 40px; margin: 0; }
`;
const PAINT = "#ff2d78";

const start = (request) => {
  const { words } = request;
  const hasKeys = matchMedia("(any-pointer: fine) and (min-width: 768px) and (min-height: 481px)").matches;
  const hint = hasKeys ? `${words.zoom} · ${words.keys}` : words.zoom;
  const dialog = ask(request, words.paint, hint, EDITOR_STYLE);
  const area = dialog.content;
  area.tabIndex = 0;
  area.setAttribute("role", "application"); // so that a screen reader leaves the keys to it
  area.setAttribute("aria-label", `${words.paint}. ${words.keys}`);
  const picture = make("canvas", { className: "picture", width: 0 });
  const mask = make("canvas", { className: "mask", width: 0 });
  const stage = make("div", { className: "stage" }, picture, mask);
  const ring = make("div", { className: "brush" });
  area.append(stage, ring);

  // What was done, oldest first: strokes {erases, width, points}, and "clear" and "invert" of the whole.
  const done = [];
  let erases = false;
  let view = { scale: 1, x: 0, y: 0 }; // against the picture fitted into the area

  // Painting. Places are in pixels of the mask.

  const drawLine = (stroke, from, to) => {
    const canvas = mask.getContext("2d");
    canvas.globalCompositeOperation = stroke.erases ? "destination-out" : "source-over";
    canvas.strokeStyle = PAINT;
    canvas.lineWidth = stroke.width;
    canvas.lineCap = canvas.lineJoin = "round";
    canvas.beginPath();
    canvas.moveTo(from.x, from.y);
    canvas.lineTo(to.x + 0.01, to.y); // a line without length would draw no dot
    canvas.stroke();
  };
  const fillWhole = (canvas, operation, colour) => {
    canvas.globalCompositeOperation = operation;
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, mask.width, mask.height);
  };
  const draw = (step) => {
    if (step === "clear") mask.getContext("2d").clearRect(0, 0, mask.width, mask.height);
    else if (step === "invert") fillWhole(mask.getContext("2d"), "source-out", PAINT);
    else step.points.forEach((point, index) => drawLine(step, step.points[Math.max(0, index - 1)], point));
  };
  const showSteps = () => {
    undoButton.disabled = clearButton.disabled = done.length === 0;
  };
  const add = (step) => {
    done.push(step);
    draw(step);
    showSteps();
  };
  const undo = () => {
    stroke = keyStroke = null;
    done.pop();
    draw("clear");
    done.forEach(draw);
    showSteps();
  };
  const isEmpty = () => {
    const { data } = mask.getContext("2d").getImageData(0, 0, mask.width, mask.height);
    for (let at = 3; at < data.length; at += 4) if (data[at] > 127) return false;
    return true;
  };
  const send = () => {
    if (!mask.width || !dialog.isOpen()) return;
    if (isEmpty()) return dialog.say(words.nothing);
    const canvas = mask.getContext("2d");
    fillWhole(canvas, "source-in", "#fff");
    fillWhole(canvas, "destination-over", "#000");
    dialog.settle("done", mask.toDataURL("image/png"));
  };

  // Zooming and moving.

  const showView = () => {
    const { clientWidth: width, clientHeight: height } = area;
    const fit = Math.min(width / picture.width, height / picture.height);
    const [shownWidth, shownHeight] = [picture.width * fit * view.scale, picture.height * fit * view.scale];
    // What is smaller than the area stays in its middle, what is larger covers it.
    const within = (place, shown, room) =>
      shown <= room ? (room - shown) / 2 : Math.min(0, Math.max(room - shown, place));
    view.x = within(view.x, shownWidth, width);
    view.y = within(view.y, shownHeight, height);
    Object.assign(stage.style, {
      width: `${shownWidth}px`,
      height: `${shownHeight}px`,
      transform: `translate(${view.x}px, ${view.y}px)`,
    });
  };
  // What is at one place of the area goes to the other, so many times as large.
  const zoom = (factor, from, to = from) => {
    if (!mask.width) return;
    const scale = Math.min(16, Math.max(1, view.scale * factor));
    const by = scale / view.scale;
    view = { scale, x: to.x - (from.x - view.x) * by, y: to.y - (from.y - view.y) * by };
    showView();
  };
  const middle = () => ({ x: area.clientWidth / 2, y: area.clientHeight / 2 });
  const placeOf = (event) => {
    const { left, top } = area.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  };

  // Fingers, pen and mouse. One paints; two fingers, or the middle button of a mouse, move and zoom. Where there is a
  // pen, fingers only move, and the hand that holds it does nothing.

  const pointers = new Map();
  let stroke = null;
  let moving = false;
  let hasPen = false;
  const inMask = (event) => {
    const { left, top, width } = mask.getBoundingClientRect();
    const ratio = mask.width / width;
    return { x: (event.clientX - left) * ratio, y: (event.clientY - top) * ratio };
  };
  const begin = (event) => {
    if (!mask.width || !dialog.isOpen()) return;
    const isPen = event.pointerType === "pen";
    const isFinger = event.pointerType === "touch";
    hasPen ||= isPen;
    if (hasPen && isFinger && stroke) return;
    if (isPen) {
      pointers.clear();
      moving = false;
    }
    area.focus();
    area.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, placeOf(event));
    if (pointers.size > 1 && stroke) undo(); // the first of two fingers painted nothing
    moving ||= pointers.size > 1 || event.button === 1 || (hasPen && isFinger);
    area.classList.toggle("moving", moving);
    const isErasing = event.button === 5; // the other end of a pen
    if (moving || (event.button > 0 && !isErasing)) return;
    const width = (size.value * mask.width) / mask.getBoundingClientRect().width;
    stroke = { erases: erases || isErasing, width, points: [inMask(event)] };
    add(stroke);
  };
  const go = (event) => {
    showRing(event);
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const place = placeOf(event);
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    pointers.set(event.pointerId, place);
    if (moving && other) {
      const apart = (one) => Math.hypot(one.x - other.x, one.y - other.y);
      const between = (one) => ({ x: (one.x + other.x) / 2, y: (one.y + other.y) / 2 });
      zoom(apart(place) / Math.max(1, apart(before)), between(before), between(place));
    } else if (moving) {
      zoom(1, before, place);
    } else if (stroke) {
      const parts = event.getCoalescedEvents?.() ?? []; // what came since the last picture of the screen
      for (const part of parts.length ? parts : [event]) {
        const point = inMask(part);
        drawLine(stroke, stroke.points.at(-1), point);
        stroke.points.push(point);
      }
    }
  };
  const end = (event) => {
    pointers.delete(event.pointerId);
    stroke = null;
    if (pointers.size === 0) moving = false;
    area.classList.toggle("moving", moving);
  };
  const showRing = (event) => {
    const { x, y } = placeOf(event);
    const shown = event.pointerType !== "touch" && event.type !== "pointerleave" && !moving;
    const visibility = shown ? "visible" : "hidden";
    Object.assign(ring.style, { left: `${x}px`, top: `${y}px`, visibility });
  };
  area.addEventListener("pointerdown", begin);
  area.addEventListener("pointermove", go);
  area.addEventListener("pointerup", end);
  area.addEventListener("pointercancel", end);
  area.addEventListener("pointerleave", showRing);
  area.addEventListener("contextmenu", (event) => event.preventDefault());
  area.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 400), placeOf(event));
  });

  // The brush by keys: the arrows move it, Space puts it down and lifts it.

  let keyPlace = null; // in the area
  let keyStroke = null;
  const keyPoint = () => {
    const { left, top } = area.getBoundingClientRect();
    return inMask({ clientX: left + keyPlace.x, clientY: top + keyPlace.y });
  };
  const showKeyPlace = () => {
    Object.assign(ring.style, { left: `${keyPlace.x}px`, top: `${keyPlace.y}px`, visibility: "visible" });
  };
  const step = (x, y) => (event) => {
    const far = event.shiftKey ? 2 : Math.max(8, size.value / 3);
    keyPlace ??= middle();
    keyPlace = {
      x: Math.min(area.clientWidth, Math.max(0, keyPlace.x + x * far)),
      y: Math.min(area.clientHeight, Math.max(0, keyPlace.y + y * far)),
    };
    showKeyPlace();
    if (!keyStroke) return;
    const point = keyPoint();
    drawLine(keyStroke, keyStroke.points.at(-1), point);
    keyStroke.points.push(point);
  };
  const press = () => {
    keyPlace ??= middle();
    showKeyPlace();
    if (keyStroke) return void (keyStroke = null);
    const width = (size.value * mask.width) / mask.getBoundingClientRect().width;
    keyStroke = { erases, width, points: [keyPoint()] };
    add(keyStroke);
  };
  const areaKeys = {
    ArrowLeft: step(-1, 0),
    ArrowRight: step(1, 0),
    ArrowUp: step(0, -1),
    ArrowDown: step(0, 1),
    " ": press,
  };

  // Tools and keys. After a click the keys go to the picture again, so that Enter means Done.

  const clicked = (action) => (event) => {
    action();
    if (event.detail > 0) area.focus();
  };
  const choose = (eraser) => {
    erases = eraser;
    brushButton.setAttribute("aria-pressed", !eraser);
    eraserButton.setAttribute("aria-pressed", eraser);
  };
  const resize = (by) => {
    size.value = Number(size.value) + by;
    ring.style.width = ring.style.height = `${size.value}px`;
  };
  const withKey = (element, key) => {
    element.title = key;
    element.setAttribute("aria-keyshortcuts", key.replace("Ctrl", "Control").replace("Esc", "Escape"));
    return element;
  };
  const brushButton = withKey(button(words.brush, clicked(() => choose(false))), "B");
  const eraserButton = withKey(button(words.eraser, clicked(() => choose(true))), "E");
  const undoButton = withKey(button(words.undo, clicked(undo)), "Ctrl+Z");
  const clearButton = button(words.clear, clicked(() => add("clear")));
  const size = make("input", { type: "range", min: 4, max: 160, value: 40, oninput: () => resize(0) });
  dialog.tools.append(
    brushButton,
    eraserButton,
    make("label", {}, words.size, size),
    undoButton,
    clearButton,
    withKey(button(words.invert, clicked(() => add("invert"))), "I"),
    make(
      "div",
      { className: "end" },
      withKey(button(words.cancel, dialog.cancel), "Esc"),
      withKey(button(words.done, send, { className: "main" }), "Enter"),
    ),
  );
  const keys = {
    Enter: () => send(),
    b: () => choose(false),
    e: () => choose(true),
    i: () => add("invert"),
    "[": () => resize(-6),
    "]": () => resize(6),
    "+": () => zoom(1.25, middle()),
    "-": () => zoom(0.8, middle()),
    0: () => zoom(0, middle()),
  };
  dialog.dialog.addEventListener("keydown", (event) => {
    const isUndo = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z";
    const isPlain = !event.ctrlKey && !event.metaKey && !event.altKey;
    const ofArea = event.target === area ? areaKeys[event.key] : null; // a slider and buttons have these for themselves
    const action = isUndo ? undo : isPlain ? (ofArea ?? keys[event.key]) : null;
    const isOfButton = event.key === "Enter" && event.target.localName === "button";
    if (!action || isOfButton || !dialog.isOpen() || !mask.width) return;
    event.preventDefault();
    action(event);
  });

  const load = async () => {
    const image = await readPicture(request.url);
    const shrink = Math.min(1, request.side / Math.max(image.width, image.height));
    for (const canvas of [picture, mask]) {
      canvas.width = Math.max(1, Math.round(image.width * shrink));
      canvas.height = Math.max(1, Math.round(image.height * shrink));
    }
    picture.getContext("2d").drawImage(image, 0, 0, picture.width, picture.height);
    // What was painted over this picture before the connection was lost, or before a Stop.
    const before = window.comfyuiUnsent;
    if (before?.url === request.url) before.steps.forEach(add);
    window.comfyuiUnsent = { url: request.url, steps: done };
    new ResizeObserver(showView).observe(area);
    showView();
  };
  choose(false);
  resize(0);
  showSteps();
  area.focus();
  load().catch(() => dialog.settle("failed"));
  return "open";
};
"""


async def paint_mask(chat: Chat, reference: str, picture: bytes) -> Image.Image:
    """The mask (mode L, white is where something is to change) that the user paints over a picture
    of the chat, by its reference and its content.

    Raises `NotAnswered` where nobody paints, and as `read_painted` does.
    """
    file = FILE_REFERENCE.fullmatch(reference)
    if file:
        try:
            return await _painted_over(chat, f"/api/v1/files/{file[1]}/content")
        except DialogFailed:  # a browser reads fewer kinds of pictures than ComfyUI
            log.info("the page could not show a picture: a copy is sent")
    copy = await PICTURES.run(small_copy, picture, COPY_PIXELS, COPY_BYTES)
    try:
        return await _painted_over(chat, copy or "")
    except DialogFailed:
        raise BadArgument("The page could not show the picture.", WITHOUT_PAINTING) from None


async def _painted_over(chat: Chat, url: str) -> Image.Image:
    request = {"url": url, "side": MOST_PAINTED_SIDE}
    answer = await ask_in_page(chat, MASK_EDITOR, request, WITHOUT_PAINTING)
    return await PICTURES.run(read_painted, answer)


def read_painted(answer: Any) -> Image.Image:
    """The mask in what the page sent, which may be anything. Raises `BadArgument` and
    `LimitExceeded`. Blocks.
    """
    if not isinstance(answer, str) or not answer.startswith(PNG_URI):
        raise _no_mask("no PNG")
    if len(answer) > MOST_PAINTED_CHARACTERS:
        raise _no_mask(f"more than {MOST_PAINTED_CHARACTERS:,} characters")
    try:
        data = base64.b64decode(answer.removeprefix(PNG_URI), validate=True)
        with open_picture(data, ("PNG",)) as image:
            size = Size(*image.size)
    except Exception:  # of whatever cannot be read
        raise _no_mask("no PNG that can be read") from None
    if max(size.width, size.height) > MOST_PAINTED_SIDE:
        raise _no_mask(f"a picture of {size} pixels")
    return read_mask(data, "the painted mask")


def _no_mask(what: str) -> BadArgument:
    """The error for what the page sent in the place of a mask."""
    return BadArgument(f"The page sent {what} as the painted mask.", WITHOUT_PAINTING)
