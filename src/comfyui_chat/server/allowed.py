"""Which workflows and models of a server its callers may use, by patterns of names such as "flux*".

Administrators can give different users different rights (webui/rights.py). An `Allowed` stands in
the endpoint of a call, and what it leaves out is not there: not in node definitions and lists of
files, as `long_answers` reads them, and not among the workflows (catalogue/entries.py). So whatever
chooses, lists, describes or checks a value knows nothing of it. Models are checkpoints, diffusion
models and LoRAs, which people choose; text encoders, VAEs and the like, which these need, are not
limited.
"""

import fnmatch
import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from ..graph.definitions import InputSpec, NodeDefinition, last_part
from ..names import MODEL_FILE, base_name

ANY_NAME = ("*",)
# What stands in the name of an input, of a node's class or of a folder where models are chosen.
CHOSEN = re.compile(r"ckpt|checkpoint|unet|diffusion|lora|gguf", re.IGNORECASE)


@dataclass(frozen=True)
class Allowed:
    """Patterns of the names that may be used; `*` stands for any letters. Case, folders and endings
    do not count.
    """

    workflows: tuple[str, ...] = ANY_NAME
    models: tuple[str, ...] = ANY_NAME

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return "*" in self.workflows and "*" in self.models

    def workflow(self, name: str) -> bool:
        """Whether a workflow may be used."""
        return _fits(name, self.workflows)

    def model(self, name: str) -> bool:
        """Whether a model file may be used."""
        return _fits(name, self.models) or _fits(MODEL_FILE.sub("", name), self.models)

    def definition(self, definition: NodeDefinition) -> NodeDefinition:
        """A node as it is for who may use only these models."""
        if "*" in self.models:
            return definition
        chooses = bool(CHOSEN.search(definition.class_type))
        inputs = {name: self._spec(name, spec, chooses) for name, spec in definition.inputs.items()}
        return replace(definition, inputs=inputs)

    def _spec(self, name: str, spec: InputSpec, chooses: bool) -> InputSpec:
        options: Mapping[str, Mapping[str, InputSpec]] = {
            choice: {inner: self._spec(inner, of, chooses) for inner, of in specs.items()}
            for choice, specs in spec.options.items()
        }
        choices = spec.choices
        if chooses or CHOSEN.search(last_part(name)):
            choices = tuple(choice for choice in spec.choices if not self._leaves_out(choice))
        if len(choices) == len(spec.choices):
            return replace(spec, options=options)
        default = spec.default if spec.default in choices else next(iter(choices), None)
        return replace(spec, options=options, choices=choices, default=default)

    def _leaves_out(self, choice: object) -> bool:
        return (
            isinstance(choice, str) and bool(MODEL_FILE.search(choice)) and not self.model(choice)
        )

    def in_list(self, path: str) -> Callable[[str], bool] | None:
        """Which names of the list at a path may be told; None for all."""
        folder = path.partition("?")[0]
        if "*" not in self.models and "/models/" in folder and CHOSEN.search(base_name(folder)):
            return self.model
        return None


ALL_ALLOWED = Allowed()


def _fits(name: str, patterns: Iterable[str]) -> bool:
    pattern = _pattern(tuple(patterns))
    text = name.lower().replace("\\", "/")
    return bool(pattern.match(text) or pattern.match(base_name(text)))


@functools.lru_cache(maxsize=256)
def _pattern(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """One expression for all of them; one that fits nothing for none."""
    expressions = [fnmatch.translate(pattern.lower().replace("\\", "/")) for pattern in patterns]
    return re.compile("|".join(expressions) or r"(?!)")
