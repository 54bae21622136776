"""The dialog in which the user chooses what becomes of a run that will take long.

It opens where a run is expected to take longer than the user's valve says (run/estimates), and
offers to run it, to run it smaller, or not at all. Without an answer, as where no page of the chat
is open, the run begins as it was asked for.
"""

from typing import Any

from ..errors import NotAnswered
from ..names import shortened
from ..phrases import Phrase, Span
from ..run.estimates import CANCEL, CHOICE_SECONDS, NOT_ASKED, RUN, SMALLER, LongRun, LongRuns
from .chat import Chat
from .page_dialog import DialogFailed, ask_in_page, page_turn
from .settings import Settings

LONG_RUN_DIALOG = r"""
const CHOICE_STYLE = `
  dialog { height: fit-content; width: min(460px, calc(100vw - 32px)); border-radius: 16px; }
  main { flex: none; padding: 0 16px; }
  .end { flex-wrap: wrap; justify-content: flex-end; }
`;

const start = (request) => {
  const dialog = ask(request, request.title, request.text, CHOICE_STYLE);
  const end = make("div", { className: "end" });
  for (const { answer, label, isMain } of request.choices) {
    const properties = { className: isMain ? "main" : "" };
    end.append(button(label, () => dialog.settle("done", answer), properties));
  }
  dialog.tools.append(end);
  dialog.dialog.addEventListener("cancel", () => dialog.settle("done", request.whenClosed));
  end.lastChild.focus();
  return "open";
};
"""


def long_runs_of(chat: Chat, settings: Settings) -> LongRuns:
    """From when on the user of a call is asked, and how."""
    if not settings.ask_seconds:
        return LongRuns()

    async def ask(run: LongRun) -> str | None:
        def said(name: str, /, **values: Any) -> str:
            return Phrase(name, **values).said_in(chat.language)

        choices = [{"answer": CANCEL, "label": said("cancel"), "isMain": False}]
        if run.smaller:
            smaller = said("long_smaller", size=run.smaller)
            choices.append({"answer": SMALLER, "label": smaller, "isMain": False})
        choices.append({"answer": RUN, "label": said("long_run"), "isMain": True})
        request = {
            "title": said("long_title", time=Span(run.seconds)),
            "text": said("long_before", name=shortened(run.workflow, 60)),
            "choices": choices,
            "whenClosed": CANCEL,
        }
        try:
            async with page_turn(chat.place):
                minutes = round(CHOICE_SECONDS / 60)
                answer = await ask_in_page(chat, LONG_RUN_DIALOG, request, "", minutes)
        except NotAnswered as silence:
            return None if silence.was_asked else NOT_ASKED
        except DialogFailed:
            return NOT_ASKED
        return answer if answer in (RUN, SMALLER, CANCEL) else None

    return LongRuns(settings.ask_seconds, ask)
