"""A stand-in for ComfyUI: its protocol as recorded from two releases, with painted pictures instead of models."""

from .cloud import CloudStandIn, Refusal
from .misbehaviour import OUT_OF_MEMORY, OUT_OF_MEMORY_OLDER, Misbehaviour
from .server import DEFAULT_MODELS, Received, StandIn

__all__ = [
    "DEFAULT_MODELS",
    "OUT_OF_MEMORY",
    "OUT_OF_MEMORY_OLDER",
    "CloudStandIn",
    "Misbehaviour",
    "Received",
    "Refusal",
    "StandIn",
]
