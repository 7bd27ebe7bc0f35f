"""How recurrent and attention layers read their inputs: which dimension is the batch, which sizes a state and a mask must have."""

from __future__ import annotations

from ..model import Edit, ModuleFacts, TensorFacts
from .edits import set_keyword
from .layers import base_kind
from .reading import Reading

_RECURRENT = ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell")


def is_recurrent(layer: ModuleFacts) -> bool:
    return base_kind(layer) in _RECURRENT


def batch_first(layer: ModuleFacts) -> bool:
    return getattr(layer.setting("batch_first"), "value", False) is True


def axes(layer: ModuleFacts) -> str:
    """`[time, batch, features]`, with the reason."""
    return "[batch, time, features]" if batch_first(layer) else "[time, batch, features], as batch_first is False"


def directions(layer: ModuleFacts) -> int:
    return 2 if getattr(layer.setting("bidirectional"), "value", False) is True else 1


def wanted_state(layer: ModuleFacts, x: TensorFacts) -> tuple[int, ...]:
    """The shape of `h` that a recurrent layer takes with the input `x` (with `proj_size`, that of an LSTM's first part)."""
    hidden = layer.number("proj_size") or layer.number("hidden_size") or 0
    if base_kind(layer).endswith("Cell"):
        return (x.shape[0], hidden) if x.rank == 2 and x.shape else (hidden,)
    layers = (layer.number("num_layers") or 1) * directions(layer)
    if x.rank != 3 or x.shape is None:
        return layers, hidden
    return layers, x.shape[0 if batch_first(layer) else 1], hidden


def turn_batch_first(run: Reading, layer: ModuleFacts) -> tuple[Edit, ...]:
    """`batch_first=True` (or False, where it is True) in the constructor call that the program wrote."""
    outer = run.builder(layer)
    return set_keyword(run.sources, outer.built[0], "batch_first", str(not batch_first(layer)), outer.signature) if outer.built else ()
