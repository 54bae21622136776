"""What each node of a graph is for: a sampler, a service, an encoder, a node with a size.

A node is told by what it takes and gives, as its definition and its links say, and by the names of
its inputs where no definition does. `Roles` is the index of a graph's links with these answers;
graph/search and graph/tracing go on from there.

    roles.is_sampler("3")               it makes something with a diffusion model
    roles.is_service("5")               it makes something all by itself, from a prompt or a seed
    roles.texts("6", "positive")        ["text"]: the inputs that take the words of that side
    roles.size_inputs("5")              {"width": "target_width", "height": "target_height"}
"""

import re
from typing import Any

from ..values import is_number
from .definitions import SEED_INPUTS, last_part
from .input_names import CHOICES, PARAMETERS, PRESETS, SHOWN_ONCE, SIZE_INPUTS, TEXTS, words_in
from .link_types import MEDIA, VALUE_TYPES
from .links import SAVES, TypedLink, Wiring, once
from .nodes import Target

# types that SamplerCustomAdvanced and its like are fed with
SAMPLING = ("NOISE", "GUIDER", "SAMPLER", "SIGMAS")
SERVICE_MAKES = (*MEDIA, "STRING", "FILE_3D")  # how the types begin of what a service makes
SIZE_PRESETS = tuple(spelling for name in PRESETS for spelling in PARAMETERS[name])
GENERATES = re.compile(r"generate", re.IGNORECASE)
PARTS = 24  # the most nodes that make up one sampler, or makers in a row


class Roles(Wiring):
    """The links of a graph, and what its nodes are for."""

    # What stands in the inputs of nodes, and whether it could be a parameter's value.

    def value(self, target: Target) -> Any:
        """The value that a widget holds, or None for one that is not there."""
        return self.inputs(target.node_id).get(target.input)

    def holds(self, name: str, node_id: str, key: str) -> bool:
        """Whether an input holds a value, not a link, of the kind that the parameter `name` has."""
        value = self.inputs(node_id).get(key)
        if value is None:
            return False
        if name in TEXTS or name in CHOICES:
            return isinstance(value, str)
        if isinstance(value, str):
            return self._takes_number(node_id, key, value)
        return is_number(value)

    def _takes_number(self, node_id: str, key: str, text: str) -> bool:
        """Whether a text stands where a number belongs: "7", or a placeholder such as "%seed%"."""
        spec = self.spec(node_id, key)
        if spec:
            return spec.type in ("INT", "FLOAT")
        return key in SEED_INPUTS and text.strip().isdigit()

    # What a node is in its graph, as far as its inputs and outputs tell.

    @once
    def is_maker(self, node_id: str) -> bool:
        """Whether a node makes what the workflow is for: it samples, or it is a service."""
        return self.is_sampler(node_id) or self.is_service(node_id)

    @once
    def is_sampler(self, node_id: str) -> bool:
        """Whether a node samples and has the settings for it, or is given them: told by its inputs.
        It may be without a diffusion model of its own, unlike a node that `uses_diffusion_model`.
        """
        names = self.inputs(node_id).keys()
        if {"guider", "sigmas"} <= names:
            return True
        if not self._is_fed(node_id) or self._is_saver(node_id):
            return False
        is_seeded = not names.isdisjoint(SEED_INPUTS)
        if {"positive", "negative"} <= names:
            return is_seeded or "steps" in names or "sigmas" in names
        if "steps" not in names:
            return False
        definition = self.definition(node_id)
        makes_latent = definition is not None and "LATENT" in definition.outputs
        if not is_seeded:  # one that undoes or repeats the noise of another
            return makes_latent and self.link(node_id, "model") is not None
        if "latent_image" in names or not names.isdisjoint(
            ("cfg", "sampler_name", "scheduler", "denoise")
        ):
            return True
        return makes_latent

    def _is_fed(self, node_id: str) -> bool:
        """Whether a node is given anything but numbers, texts and choices. What is not only notes
        the settings, as for the metadata of a file.
        """
        return any(
            not link.surely_carries("STRING", "BOOLEAN", *VALUE_TYPES)
            for link in self.links(node_id)
        )

    @once
    def _is_saver(self, node_id: str) -> bool:
        """Whether a node keeps what it is given, whatever settings it writes into the file."""
        definition = self.definition(node_id)
        if definition and not definition.is_output:
            return False
        is_given = bool(self.links_surely_carrying(node_id, *MEDIA))
        return is_given and bool(SAVES.search(self.class_type(node_id)))

    @once
    def is_service(self, node_id: str) -> bool:
        """Whether a node makes a picture, a video, sound or a text all by itself, from a prompt or
        a seed: a node that calls somebody's service, or a language model.
        """
        if self.is_sampler(node_id) or not self._may_be_service(node_id) or self._is_saver(node_id):
            return False
        if any("prompt" in name for name in self.texts(node_id, "positive")):
            return True
        names = self.inputs(node_id)
        seeds = [name for name in names if name.lower() == "seed"]
        is_seeded = any(self.holds("seed", node_id, name) for name in seeds)
        return is_seeded and len(names) > 1

    def _may_be_service(self, node_id: str) -> bool:
        """Whether a node's outputs are such as a service has. Where they are unknown, a node with a
        CLIP model is an encoder, unless its class says that it generates.
        """
        definition = self.definition(node_id)
        if definition and definition.outputs:
            return any(kind.startswith(SERVICE_MAKES) for kind in definition.outputs)
        if "clip" in self.inputs(node_id):
            return bool(GENERATES.search(self.class_type(node_id)))
        return True

    @once
    def parts(self, node_id: str) -> list[str]:
        """A sampler and the nodes that give it noise, guider, sampler and sigmas, nearest first;
        `PARTS` at most.
        """
        parts = [node_id]
        for part in parts:
            for link in self.links_surely_carrying(part, *SAMPLING):
                if link.source not in parts and len(parts) < PARTS:
                    parts.append(link.source)
        return parts

    def links_carrying(self, node_id: str, *types: str) -> list[TypedLink]:
        """The links that a node reads which may carry one of these types."""
        return [link for link in self.links(node_id) if link.may_carry(*types)]

    def links_surely_carrying(self, node_id: str, *types: str) -> list[TypedLink]:
        """The links that a node reads which are declared as one of these types."""
        return [link for link in self.links(node_id) if link.surely_carries(*types)]

    def texts(self, node_id: str, side: str) -> list[str]:
        """The inputs of a node that take the words of a side, "positive" or "negative". A node that
        has none for the negative side names those of the positive one.
        """
        texts: dict[str, list[str]] = {"positive": [], "negative": []}
        for name in self.inputs(node_id):
            its_side = words_in(name)
            if its_side and self._takes_words(node_id, name):
                texts[its_side].append(name)
        if side == "negative" and texts["negative"]:
            return texts["negative"]
        numbered = [name for name in texts["positive"] if name[-1].isdigit()]
        later = numbered[1:]  # of "prompt_1", "prompt_2" and so on only the first counts
        return [name for name in texts["positive"] if name not in later]

    def _takes_words(self, node_id: str, name: str) -> bool:
        """Whether an input takes free text and not a number, a choice or conditioning."""
        spec = self.spec(node_id, name)
        if spec and spec.type in ("BOOLEAN", *VALUE_TYPES):
            return False
        if spec is None and SHOWN_ONCE.fullmatch(name) and self.definition(node_id):
            return False
        if isinstance(self.inputs(node_id)[name], str):
            return True
        link = self.link(node_id, name)
        return link is not None and link.may_carry("STRING")

    def has_size_preset(self, node_id: str) -> bool:
        """Whether a node goes by a size out of a list, unless that says "custom": its width and
        height are idle.
        """
        inputs = self.inputs(node_id)
        for name in inputs:
            if last_part(name).lower() not in SIZE_PRESETS:
                continue
            spec = self.spec(node_id, name)
            is_choice = spec is None or spec.type == "COMBO"
            if is_choice and isinstance(inputs[name], str) and "custom" not in inputs[name].lower():
                return True
        return False

    def size_inputs(self, node_id: str) -> dict[str, str]:
        """A node's inputs for the size: {"width": "target_width", "height": "target_height"}. Empty
        when it does not have both, or one of them is 0, by which such nodes mean "as it comes".
        """
        inputs = self.inputs(node_id)
        for width, height in SIZE_INPUTS:
            if width not in inputs or height not in inputs:
                continue
            if not self._takes_length(node_id, width) or not self._takes_length(node_id, height):
                continue
            if inputs[width] == 0 or inputs[height] == 0:
                return {}
            return {"width": width, "height": height}
        return {}

    def _takes_length(self, node_id: str, key: str) -> bool:
        """Whether a node has such an input, with a number or a link."""
        return self.holds("width", node_id, key) or self.link(node_id, key) is not None
