"""The makers of what a graph's outputs are for, and the lines that they form.

`Makers` begins at the nodes that save or show something and goes back to what made it. A "maker"
is a sampler, or a "service": a node that makes something all by itself, such as one that calls
somebody's API. Samplers of which each takes up the result of the one before form a "line": base and
refiner, or a second pass at a larger size. In

    {"3": {"class_type": "KSampler", "inputs": {"seed": 7, "positive": ["6", 0], ...}},
     "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", ...}},
     "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], ...}},
     "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], ...}}}

it goes from "9" over "8" to the only line, ["3"]. Which sampler a line begins with depends on the
words that it is given, and so the words of a maker are found here as well.
"""

import re
from collections.abc import Iterable, Sequence

from .following import first_value
from .link_types import MEDIA
from .links import TypedLink, once
from .nodes import Target, is_link
from .roles import PARTS, SAMPLING
from .search import Flow

Line = list[str]  # makers of which each goes on with the result of the one before, first to last

# The inputs of a sampler, or of its guider, that take the conditioning of a side.
CONDITIONING_INPUTS = {
    "positive": ("positive", "cond1", "conditioning"),
    "negative": ("negative", "neg_conditioning"),
}


def id_numbers(node_id: str) -> list[int]:
    """The numbers in a node's id, to sort by: [12, 3] for "12:3"."""
    return [int(number) for number in re.findall(r"\d{1,18}", node_id)]


class Makers:
    """The makers of a graph in their lines.

    `live` numbers the nodes that feed the outputs which count, each after all that feeds it.
    `lines` are the rows of makers among them, each from its first to its last: [["3", "10"]] for a
    base and a refiner.
    """

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        # by the first maker of a line: what goes on with its result
        self.stages: dict[str, list[str]] = {}
        # the same: what goes back from a picture to the noise for it
        self.inverters: dict[str, list[str]] = {}
        self.live, self.lines = self._lines()

    # From the outputs to the makers, and to the lines that they form.

    def _lines(self) -> tuple[dict[str, int], list[Line]]:
        """`live` and `lines`, read from the best rank of outputs that something is made for.

        `live` also holds what feeds the better ranks. A row whose last maker feeds another row is
        part of that one.
        """
        order: dict[str, int] = {}
        for rank in self.output_ranks():
            for output in rank:
                self._number(output, order)
            ends = self._nearest_makers(rank)
            if ends:
                ends.sort(key=lambda node_id: -order[node_id])
                lines = self._lines_to(ends)
                lines.sort(key=lambda line: order[line[0]])
                return order, lines
        return order, []

    def _lines_to(self, ends: Iterable[str]) -> list[Line]:
        """The lines that end with these makers, without those that are only the beginning of
        another one.
        """
        lines: list[Line] = []
        inner: set[str] = set()  # makers whose result another one goes on with
        for end in ends:
            if end not in inner:
                line = self._line(end)
                chain = self._chain(end)
                if line[-1] in chain:
                    self.stages[line[0]] = chain[: chain.index(line[-1])]
                lines.append(line)
                inner.update(line[:-1])
        return [line for line in lines if line[-1] not in inner]

    def output_ranks(self) -> list[list[str]]:
        """The nodes that a run is for, in ranks: those that save media, save texts, show media,
        show texts. What the server calls an output node and whose name says neither counts as
        saving media.

        Where definitions are missing, nodes count whose outputs nothing reads, by the names of
        their classes; if no name says anything, all of them make up one rank. In a rank the lowest
        id comes first, as the order in the file depends on the program that wrote it.
        """
        flow = self.flow
        node_ids = sorted(flow.nodes, key=id_numbers)
        read = {link.source for node_id in node_ids for link in flow.links(node_id)}
        unread = [node_id for node_id in node_ids if node_id not in read]
        ranks: list[list[str]] = [[], [], [], []]
        unnamed = []
        for node_id in node_ids:
            definition = flow.definition(node_id)
            is_end = node_id not in read
            if definition:
                is_end = definition.is_output
            if not is_end:
                continue
            rank = flow.output_rank(node_id)
            if rank is not None:
                ranks[rank].append(node_id)
            elif definition:
                makes_text = flow.links(node_id) and self._only_text(definition.outputs)
                ranks[1 if makes_text else 0].append(node_id)
            else:
                unnamed.append(node_id)
        if any(ranks):
            return ranks
        return [unnamed or unread]

    def _only_text(self, outputs: Sequence[str]) -> bool:
        """Whether outputs of these types are texts and nothing else, as those of a node that
        improves a prompt.
        """
        return bool(outputs) and all(kind == "STRING" for kind in outputs)

    def _number(self, output: str, order: dict[str, int]) -> None:
        """Number an output and all that feeds it, each node after those that feed it."""
        waiting = [output]
        opened: set[str] = set()
        while waiting:
            node_id = waiting[-1]
            if node_id in order or node_id in opened:
                waiting.pop()
                order.setdefault(node_id, len(order))
                continue
            opened.add(node_id)
            for link in self.flow.links(node_id):
                if link.source not in order:
                    waiting.append(link.source)

    def _nearest_makers(self, outputs: list[str]) -> list[str]:
        """The makers that the outputs' media come from, not those before them; else the makers of
        their texts.
        """
        makers = self._makers_over(outputs, "LATENT", *MEDIA)
        if makers:
            return makers
        return self._makers_over(outputs, "LATENT", "STRING", *MEDIA)

    def _makers_over(self, outputs: list[str], *types: str) -> list[str]:
        """The first makers that are met on the ways back from these outputs, over links of these
        types.
        """
        makers: list[str] = []
        waiting = list(outputs)
        seen = set(outputs)
        for node_id in waiting:
            if self.flow.is_maker(node_id):
                makers.append(node_id)
                continue
            links = self.flow.links_carrying(node_id, *types)
            if node_id in outputs:  # a saver's settings may come over links of any type
                links = self.flow.links_surely_carrying(node_id, *types) or links
            for link in links:
                if link.source not in seen:
                    seen.add(link.source)
                    waiting.append(link.source)
        return makers

    def _line(self, end: str) -> Line:
        """The makers of one result that share its settings, first to last: a sampler and those that
        it takes its latent from, or, alone, the last service whose prompt says something.
        """
        maker = self._asked(end)
        row = self._makers_up_to(maker)
        last = len(row) - 1
        asked = [index for index, node_id in enumerate(row) if self.prompt_text(node_id)]
        if asked:
            last = asked[-1]
        if self.flow.is_service(row[last]):
            return [row[last]]
        first = last
        while first > 0 and self.flow.is_sampler(row[first - 1]):
            first -= 1
        beginning = first
        while first < last and not self.words(row[first], "positive"):
            first += 1  # it only prepares the picture, as a depth map, say
        before = self.flow.before([row[first]], ("LATENT",))
        self.inverters[row[first]] = [
            node_id for node_id in row[beginning:first] if node_id in before
        ]
        return [node_id for node_id in row[first:] if self.flow.is_sampler(node_id)]

    def _makers_up_to(self, end: str) -> Line:
        """The makers of which each goes on with the result of the one before, first to last;
        `PARTS` at most.
        """
        row = [end]
        while len(row) < PARTS:
            before = self._before(row[0])
            if before is None or before in row:
                break
            row.insert(0, before)
        return row

    def _asked(self, end: str) -> str:
        """The maker itself if it is asked for something, else the nearest one before it that is, as
        where a video is made of a picture that was made of words. Where all texts are empty, the
        last sampler of the row that comes first; the maker itself when none takes words.
        """
        if self.flow.is_service(end) and self.words(end, "positive"):
            return end
        takes_words = [maker for maker in self._chain(end) if self.words(maker, "positive")]
        for maker in takes_words:
            if self.prompt_text(maker):
                return maker
        takes_words = [maker for maker in takes_words if self.flow.is_sampler(maker)]
        if not takes_words:
            return end
        place = len(takes_words) - 1
        while place and self._before(takes_words[place - 1]) == takes_words[place]:
            place -= 1
        return takes_words[place]

    @once
    def _chain(self, end: str) -> list[str]:
        """A maker and those before it, last to first, each of which makes what the next begins
        with.
        """
        chain = [end]
        while len(chain) <= PARTS:
            before = self._before(chain[-1]) or self._earlier(chain[-1])
            if before is None or before in chain:
                break
            chain.append(before)
        return chain

    @once
    def _before(self, node_id: str) -> str | None:
        """The maker whose result a maker goes on with, in its latent or as a picture, or None."""
        return self._maker_before(node_id, "maker")

    @once
    def _earlier(self, node_id: str) -> str | None:
        """The same, also where the maker begins a new latent with that result: a film that starts
        from a picture.
        """
        return self._maker_before(node_id, "earlier maker")

    def _maker_before(self, node_id: str, sought: str) -> str | None:
        """The maker behind a node's links, latents first; `sought` is "maker" or "earlier
        maker".
        """
        links = self.flow.links_carrying(node_id, "LATENT", *MEDIA)
        media = [link for link in links if not link.surely_carries(*SAMPLING)]
        media.sort(
            key=lambda link: (not link.surely_carries("LATENT"), not link.surely_carries(*MEDIA))
        )
        maker = self.first_found(media, sought)
        return maker.node_id if maker else self._composer(node_id)

    def _composer(self, node_id: str) -> str | None:
        """The sampler whose latent stands in a sampler's conditioning, and not where it begins: the
        last stage of Stable Cascade paints in detail what the one before composed.
        """
        for part in self.flow.parts(node_id):
            for link in self._side_links(part, "positive"):
                for latent in self.flow.links_carrying(link.source, "LATENT"):
                    if self.flow.is_sampler(latent.source) and latent.source != node_id:
                        return latent.source
        return None

    def first_found(self, links: Iterable[TypedLink], sought: str) -> Target | None:
        """The best find upstream of the first of these links that leads to one."""
        for link in links:
            target = self.flow.best(link, sought)
            if target:
                return target
        return None

    # The words of a maker, and which samplers of a line share them.

    def words(self, node_id: str, side: str) -> list[Target]:
        """The widgets of a maker's prompt ("positive") or negative prompt ("negative")."""
        if not self.flow.is_sampler(node_id):
            return self.flow.words(node_id, side)
        encoder = self.encoder(node_id, side)
        if encoder is None:
            return []
        return self.flow.words(encoder.node_id, encoder.input)

    def encoder(self, node_id: str, side: str) -> Target | None:
        """The encoder of a sampler's main text of a side, as `Target(encoder, side of its texts)`,
        whether the sampler, its guider or a pipe brings the conditioning.
        """
        for part in self.flow.parts(node_id):
            encoder = self.first_found(self._side_links(part, side), side)
            if encoder:
                return encoder
        return None

    def _side_links(self, part: str, side: str) -> list[TypedLink]:
        """The links that bring a part of a sampler the conditioning of a side; those that may,
        where it has no inputs of the usual names.
        """
        flow = self.flow
        names = CONDITIONING_INPUTS[side]
        links = [flow.link(part, name) for name in names]
        named = [link for link in links if link]
        usual = {"positive", "negative", "guider", *names}
        linked = {name for name, value in flow.inputs(part).items() if is_link(value)}
        if named or not usual.isdisjoint(linked):
            return named
        return [link for link in flow.links(part) if link.is_strange or "embeds" in link.input]

    @once
    def prompt_text(self, node_id: str) -> str:
        """What a maker is asked for, or "" when its prompt is empty or it has none."""
        words = self.words(node_id, "positive")
        if not words:
            return ""
        return str(first_value(self.flow, words)).strip()
