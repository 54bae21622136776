"""Row 1: what a picture of 1 MB takes from the call to the result, without the server's own time.

The floor, this tool without Open WebUI, and the tool of the older commit make pictures one after the other on one
server, each in a process of its own. The server's own time is what its history says from the start of the run to its
success. With a stand-in that is next to nothing. What storing it in Open WebUI takes is measured by `storing`.
"""

from collections.abc import Iterator
from functools import partial

from tests.support.open_webui import OpenWebUI

from . import storing
from .contenders import OLDER, UNITS, older_file, run_contender
from .servers import PICTURE_KB, first_server
from .table import Line, in_turns, lines_of

GOALS = {("this tool", "overhead"): 1.3}


def lines(
    rounds: int,
    pictures: int = 20,
    kilobytes: int = PICTURE_KB,
    older: bool = True,
    stored: bool = True,
    webui: OpenWebUI | None = None,
) -> Iterator[Line]:
    """The lines of row 1; those of an Open WebUI only if the pictures are to be `stored`, too."""
    with older_file(older) as path, first_server(kilobytes) as url:
        contenders = {"floor": partial(run_contender, "floor", "one", pictures, [url])}
        contenders["this tool"] = partial(run_contender, "tool", "one", pictures, [url])
        if path:
            contenders[OLDER] = partial(run_contender, path, "one", pictures, [url])
        yield from lines_of("1", in_turns(contenders, rounds), UNITS, GOALS)
    if stored:
        yield from storing.lines(rounds, kilobytes=kilobytes, webui=webui)
