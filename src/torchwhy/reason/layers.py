"""What a layer's constructor arguments decide: which size of which parameter, and which argument an input's dimension must agree with.

Source: the "Parameters", "Shape" and "Variables" sections of the modules' pages on docs.pytorch.org.
"""
from __future__ import annotations

from dataclasses import dataclass

from ..model import ModuleFacts
from .history import numbers

_CONV = ("out_channels", "in_channels")
_CONV_T = ("in_channels", "out_channels")
_RNN_INPUT = ("hidden_size", "input_size")
_RNN_HIDDEN = ("hidden_size", "hidden_size")
_PARAMETER_SIZES: dict[str, dict[str, tuple[str, ...]]] = {
    "Linear": {"weight": ("out_features", "in_features"), "bias": ("out_features",)},
    "Bilinear": {"weight": ("out_features", "in1_features", "in2_features"), "bias": ("out_features",)},
    **{f"Conv{n}d": {"weight": _CONV, "bias": ("out_channels",)} for n in (1, 2, 3)},
    **{f"ConvTranspose{n}d": {"weight": _CONV_T, "bias": ("out_channels",)} for n in (1, 2, 3)},
    "Embedding": {"weight": ("num_embeddings", "embedding_dim")},
    "EmbeddingBag": {"weight": ("num_embeddings", "embedding_dim")},
    **{f"{kind}{n}": dict.fromkeys(("weight", "bias", "running_mean", "running_var"), ("num_features",))
       for kind in ("BatchNorm", "InstanceNorm") for n in ("1d", "2d", "3d")},
    "SyncBatchNorm": dict.fromkeys(("weight", "bias", "running_mean", "running_var"), ("num_features",)),
    "GroupNorm": dict.fromkeys(("weight", "bias"), ("num_channels",)),
    "LayerNorm": dict.fromkeys(("weight", "bias"), ("normalized_shape",)),
    "RMSNorm": {"weight": ("normalized_shape",)},
    "PReLU": {"weight": ("num_parameters",)},
    "MultiheadAttention": {"in_proj_weight": ("", "embed_dim"), "q_proj_weight": ("embed_dim", "embed_dim"), "k_proj_weight": ("embed_dim", "kdim"),
                           "v_proj_weight": ("embed_dim", "vdim"), "in_proj_bias": ("embed_dim",)},
    "CrossEntropyLoss": {"weight": ("weight",)}, "NLLLoss": {"weight": ("weight",)},
}


@dataclass(frozen=True, slots=True)
class InputSize:
    """The layer wants `size` in dimension `dim` of its input (negative: from the right), because of its constructor argument `setting`."""

    dim: int
    setting: str
    size: int


def base_kind(module: ModuleFacts) -> str:
    """The torch layer that a module is: its class name, also for subclasses that keep torch's constructor arguments."""
    if module.kind in _PARAMETER_SIZES or module.kind in _RNNS:
        return module.kind
    for kind, wanted in _RECOGNISED:
        if all(module.number(name) is not None for name in wanted) and any(a.name == "weight" or a.name.startswith("weight_ih") for a in module.parameters):
            return kind
    return module.kind


_RNNS = ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell")
_RECOGNISED = (("Linear", ("in_features", "out_features")), ("Embedding", ("num_embeddings", "embedding_dim")))


def setting_of(module: ModuleFacts, parameter: str, dim: int) -> str:
    """The constructor argument that decided dimension `dim` of the layer's parameter ("" where none is known)."""
    kind = base_kind(module)
    if kind in _RNNS:
        of_rnn: tuple[str, ...] = _RNN_INPUT if parameter.startswith("weight_ih") else _RNN_HIDDEN if parameter.startswith("weight_hh") else ("hidden_size",)
        return of_rnn[dim] if dim < len(of_rnn) else ""
    sizes = _PARAMETER_SIZES.get(kind, {}).get(parameter, ())
    if len(sizes) == 1 and sizes[0] == "normalized_shape":
        return sizes[0]
    if 0 <= dim < len(sizes):
        return sizes[dim]
    return "kernel_size" if dim >= 2 and kind.startswith("Conv") and parameter == "weight" else ""


def wanted_input(module: ModuleFacts) -> InputSize | None:
    """The size that the layer wants of its input, and which constructor argument says so."""
    kind = base_kind(module)
    spatial = int(kind[-2]) if kind[-2:] in ("1d", "2d", "3d") else 0
    dim, setting = {
        "Linear": (-1, "in_features"), "LSTM": (-1, "input_size"), "GRU": (-1, "input_size"), "RNN": (-1, "input_size"), "LSTMCell": (-1, "input_size"),
        "GRUCell": (-1, "input_size"), "RNNCell": (-1, "input_size"), "MultiheadAttention": (-1, "embed_dim"), "GroupNorm": (1, "num_channels"),
        "TransformerEncoderLayer": (-1, "d_model"), "TransformerDecoderLayer": (-1, "d_model"), "Transformer": (-1, "d_model"),
    }.get(kind, (0, ""))
    if kind.startswith("Conv"):
        dim, setting = -spatial - 1, "in_channels"
    elif kind.startswith(("BatchNorm", "InstanceNorm")):
        dim, setting = 1, "num_features"
    size = module.number(setting) if setting else None
    return InputSize(dim, setting, size) if size is not None else None


def same_padding(module: ModuleFacts) -> str | None:
    """The `padding` with which a convolution built without stride would keep the size of its input; None where there is no one number."""
    kernels, dilations = numbers(module.setting("kernel_size")), numbers(module.setting("dilation")) or (1,)
    strides = numbers(module.setting("stride")) or (1,)
    if not kernels or set(strides) != {1} or not base_kind(module).startswith("Conv") or "Transpose" in module.kind:
        return None
    wanted = {dilation * (kernel - 1) / 2 for kernel, dilation in zip(kernels, dilations * len(kernels))}
    each = wanted.pop() if len(wanted) == 1 else 0.5
    return str(int(each)) if each == int(each) and each else None
