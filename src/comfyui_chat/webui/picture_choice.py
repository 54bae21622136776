"""The dialog in which the user points at one of several pictures of the chat, shown as thumbnails.

It opens where words leave open which picture is meant (`left_open`, webui/picking.py), and closes
without an answer after `CHOICE_MINUTES`; then the model is told what the words could mean, as where
nobody is there to be asked.
"""

from collections.abc import Sequence

from ..errors import NotAnswered
from ..media.pictures import small_copy
from ..names import shortened
from ..phrases import Phrase, in_language
from ..threads import PICTURES
from .chat import Chat
from .messages import ChatFile
from .page_dialog import DialogFailed, ask_in_page, page_turn
from .references import FILE_REFERENCE

CHOICE_MINUTES = 2
THUMBNAIL_PIXELS, THUMBNAIL_BYTES = 240, 20_000  # of a copy that goes along

PICTURE_CHOICE = r"""
const CHOICE_STYLE = `
  @media (min-width: 768px) {
    dialog { width: min(720px, calc(100vw - 64px)); height: fit-content; max-height: calc(100vh - 64px); }
  }
  main { overflow-y: auto; padding: 4px 16px; }
  .pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(140px, 1fr)); gap: 10px; }
  .pictures button { padding: 8px; display: flex; flex-direction: column; gap: 6px; align-items: center; }
  .pictures button:hover { outline: 2px solid var(--chosen); }
  canvas { width: 100%; aspect-ratio: 1; object-fit: contain; }
  .name { max-width: 100%; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
`;
const SIDE = 240;

const start = (request) => {
  const dialog = ask(request, request.question, request.words.pick, CHOICE_STYLE);
  const choose = (number) => dialog.isOpen() && dialog.settle("done", number);
  const grid = make("div", { className: "pictures" });
  for (const { number, url, name } of request.pictures) {
    const canvas = make("canvas", { width: SIDE, height: SIDE });
    const label = make("span", { className: "name", textContent: `${number} ${name}`.trim() });
    grid.append(make("button", { type: "button", title: name, onclick: () => choose(number) }, canvas, label));
    readPicture(url)
      .then((image) => {
        const shrink = Math.min(1, SIDE / Math.max(image.width, image.height));
        canvas.width = Math.max(1, image.width * shrink);
        canvas.height = Math.max(1, image.height * shrink);
        canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      })
      .catch(() => {}); // its number and its name are there all the same
  }
  dialog.content.append(grid);
  dialog.tools.append(make("div", { className: "end" }, button(request.words.cancel, dialog.cancel)));
  dialog.dialog.addEventListener("keydown", (event) => {
    const number = Number(event.key);
    const isPlain = !event.ctrlKey && !event.metaKey && !event.altKey;
    if (isPlain && request.pictures.some((picture) => picture.number === number)) choose(number);
  });
  grid.firstChild?.focus();
  return "open";
};
"""


async def choose_picture(chat: Chat, question: str, numbers: Sequence[int]) -> int | None:
    """Which of these numbers of the chat's pictures the user points at; None where nobody does."""
    pictures = await chat.pictures()
    shown = []
    for number in numbers:
        file = pictures[number - 1]
        name = shortened(file.name, 60)
        shown.append({"number": number, "url": await _address(chat, file), "name": name})
    request = {"question": in_language(question, chat.language), "pictures": shown}
    chat.show_status(Phrase("choosing", question=question))
    try:
        async with page_turn(chat.place):
            answer = await ask_in_page(chat, PICTURE_CHOICE, request, "", CHOICE_MINUTES)
    except (NotAnswered, DialogFailed):
        return None
    is_number = isinstance(answer, int) and not isinstance(answer, bool)
    return answer if is_number and answer in numbers else None


async def _address(chat: Chat, file: ChatFile) -> str:
    """Where the page reads a picture; of one that has no address in Open WebUI, a small copy."""
    stored = FILE_REFERENCE.fullmatch(file.reference)
    if stored:
        return f"/api/v1/files/{stored[1]}/content"
    _, data = await chat.read_file(file.reference)
    copy = await PICTURES.run(small_copy, data, THUMBNAIL_PIXELS, THUMBNAIL_BYTES)
    return copy or ""
