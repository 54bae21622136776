"""The dialog in which the user chooses which of several installed models, LoRAs or workflows a name
means.

It opens where a call names one, and several fit the name equally well (`ComfyUIError.several`). A
name in a valve is not asked about, since it would be with every call. The likeliest stands first,
and is taken where the user was asked and did not answer within `CHOICE_MINUTES`; who closes the
dialog wants none of them. Where nobody can be asked, as by the API, the language model is told the
names.

What was chosen counts for the whole message, so that three pictures with "dream" are one question.
It is a note in the result, with who chose it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..bounded import BoundedDict
from ..catalogue.naming import MOST_ASKED
from ..catalogue.request import Request
from ..errors import ComfyUIError, NotAnswered, SeveralNames
from ..names import closest, quoted, shortened
from ..phrases import Phrase
from ..run.fleet import Fleet
from ..run.follow import ProgressListener
from ..run.make import make
from ..run.options import RunOptions, RunResult
from ..threads import FILES
from .chat import Chat
from .chat_files import MessagePlace
from .page_dialog import DialogFailed, ask_in_page, page_turn
from .picture_choice import CHOICE_MINUTES

MOST_QUESTIONS = 3  # of one call: a model and two LoRAs
SHOWN_CHARACTERS = 120  # of a name
MOST_TOLD = 6  # names in a note

NAME_CHOICE = r"""
const CHOICE_STYLE = `
  dialog { height: fit-content; max-height: calc(100dvh - 32px); width: min(520px, calc(100vw - 32px));
           border-radius: 16px; }
  main { overflow-y: auto; padding: 4px 16px; display: flex; flex-direction: column; gap: 8px; }
  main button { flex: none; text-align: start; padding: 8px 14px; overflow-wrap: anywhere; }
`;

const start = (request) => {
  const { names, left, words } = request;
  const first = names[0].length > 50 ? `…${names[0].slice(-49)}` : names[0];
  const instead = words.unanswered.replace("{minutes}", request.minutes).replace("{name}", () => first);
  const more = left > 0 ? `${words.more.replace("{count}", left)} ` : "";
  const dialog = ask(request, request.question, more + instead, CHOICE_STYLE);
  const choose = (number) => dialog.isOpen() && dialog.settle("done", number);
  const buttons = names.map((name, index) =>
    button(name, () => choose(index), { className: index === 0 ? "main" : "" }),
  );
  dialog.content.append(...buttons);
  dialog.tools.append(make("div", { className: "end" }, button(words.cancel, dialog.cancel)));
  dialog.dialog.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const at = buttons.indexOf(dialog.focused());
    if (!step || at < 0) return;
    event.preventDefault();
    buttons[Math.min(Math.max(at + step, 0), buttons.length - 1)].focus();
  });
  buttons[0].focus();
  return "open";
};
"""


@dataclass(frozen=True)
class NameChoice:
    """What is taken for a name that several fit, and a note on who chose it."""

    name: str
    note: str


# by the message, the argument and what it says; not by the names, of which there may be thousands
_CHOSEN = BoundedDict[tuple[MessagePlace, str, str], NameChoice](1000)


async def make_as_meant(
    chat: Chat, request: Request, fleet: Fleet, listener: ProgressListener, options: RunOptions
) -> RunResult:
    """`make`, with what the user chooses where several fit a name of the call."""
    for _ in range(MOST_QUESTIONS):
        try:
            return await make(request, fleet, listener, options)
        except ComfyUIError as error:
            several = error.several
            if several is None or request.naming(several, "") is None:
                raise
            chosen = await _chosen(chat, several, error)
            named = request.naming(several, chosen.name)
            if named is None:
                raise
            request = replace(named, notes=(*request.notes, chosen.note))
    return await make(request, fleet, listener, options)


async def _chosen(chat: Chat, several: SeveralNames, error: ComfyUIError) -> NameChoice:
    """What the user means, of this message; raises `error` where nothing can be taken for it."""
    asked = chat.place, several.argument, several.value
    async with page_turn(chat.place):
        known = _CHOSEN.get(asked)
        if known is None:
            names = await FILES.run(closest, several.value, several.names, MOST_ASKED)
            known = await _asked(chat, several, names, error)
            _CHOSEN[asked] = known
        return known


async def _asked(
    chat: Chat, several: SeveralNames, names: Sequence[str], error: ComfyUIError
) -> NameChoice:
    """What the user answers, or the first of the names without an answer."""
    question = Phrase("which_model", words=shortened(several.value, 60))
    request = {
        "question": question.said_in(chat.language),
        "names": [shortened(name, SHOWN_CHARACTERS) for name in names],
        "left": len(several.names) - len(names),
        "minutes": CHOICE_MINUTES,
    }
    chat.show_status(Phrase("choosing", question=question))
    fits = f'{several.argument} "{shortened(several.value)}" fits {len(several.names)} names'
    try:
        answer = await ask_in_page(chat, NAME_CHOICE, request, "", CHOICE_MINUTES)
    except DialogFailed:
        raise error from None
    except NotAnswered as silence:
        if silence.was_declined:
            error.hint = "The user was asked which, and closed the question. Ask in the chat; do not choose for them."
        if silence.was_declined or not silence.was_asked:
            raise error from None
        first, *others = map(shortened, names[:MOST_TOLD])
        note = f'{fits}; the user was asked which, did not answer, and "{first}" was taken, not {quoted(others)}'
        return NameChoice(names[0], note)
    is_number = isinstance(answer, int) and not isinstance(answer, bool)
    if not is_number or not 0 <= answer < len(names):
        raise error from None
    chosen = names[answer]
    return NameChoice(chosen, f'{fits}, and the user chose "{shortened(chosen)}"')
