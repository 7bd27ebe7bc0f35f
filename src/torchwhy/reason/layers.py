"""What a layer's constructor arguments decide: which size of which parameter.

Source: the "Parameters", "Shape" and "Variables" sections of the modules' pages on docs.pytorch.org.
"""

from __future__ import annotations

from ..model import ModuleFacts, TensorFacts
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
    **{
        f"{kind}{n}": dict.fromkeys(("weight", "bias", "running_mean", "running_var"), ("num_features",))
        for kind in ("BatchNorm", "InstanceNorm")
        for n in ("1d", "2d", "3d")
    },
    "SyncBatchNorm": dict.fromkeys(("weight", "bias", "running_mean", "running_var"), ("num_features",)),
    "GroupNorm": dict.fromkeys(("weight", "bias"), ("num_channels",)),
    "LayerNorm": dict.fromkeys(("weight", "bias"), ("normalized_shape",)),
    "RMSNorm": {"weight": ("normalized_shape",)},
    "PReLU": {"weight": ("num_parameters",)},
    "MultiheadAttention": {
        "in_proj_weight": ("", "embed_dim"),
        "q_proj_weight": ("embed_dim", "embed_dim"),
        "k_proj_weight": ("embed_dim", "kdim"),
        "v_proj_weight": ("embed_dim", "vdim"),
        "in_proj_bias": ("embed_dim",),
    },
    "CrossEntropyLoss": {"weight": ("weight",)},
    "NLLLoss": {"weight": ("weight",)},
}


def base_kind(module: ModuleFacts) -> str:
    """The torch layer that a module is: its class name; for subclasses what their settings and parameters show."""
    if module.kind in _PARAMETER_SIZES or module.kind in RNNS:
        return module.kind
    weight = next((a.value for a in module.parameters if a.name == "weight"), None)
    if isinstance(weight, TensorFacts) and module.number("in_channels") is not None and module.number("out_channels") is not None:
        transposed = getattr(module.setting("transposed"), "value", False) is True
        return f"Conv{'Transpose' if transposed else ''}{weight.rank - 2}d"
    mode = getattr(module.setting("mode"), "value", None)
    if isinstance(mode, str) and module.number("input_size") is not None and module.number("hidden_size") is not None:
        return mode.partition("_")[0]
    held = {a.name for a in (*module.parameters, *module.buffers)}
    for kind, wanted, parameters in _RECOGNISED:
        if all(module.setting(name) is not None for name in wanted) and held & parameters:
            return kind
    return module.kind


RNNS = ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell")
_RECOGNISED: tuple[tuple[str, tuple[str, ...], set[str]], ...] = (
    ("Linear", ("in_features", "out_features"), {"weight"}),
    ("Embedding", ("num_embeddings", "embedding_dim"), {"weight"}),
    ("BatchNorm1d", ("num_features", "momentum"), {"weight", "running_mean"}),
    ("GroupNorm", ("num_groups", "num_channels"), {"weight"}),
    ("LayerNorm", ("normalized_shape", "eps"), {"weight"}),
    ("MultiheadAttention", ("embed_dim", "num_heads"), {"in_proj_weight", "q_proj_weight"}),
)
_ORDER = {
    "Linear": ("in_features", "out_features", "bias"),
    "Embedding": ("num_embeddings", "embedding_dim", "padding_idx"),
    "Conv": ("in_channels", "out_channels", "kernel_size", "stride", "padding"),
    "BatchNorm": ("num_features", "eps", "momentum"),
    "GroupNorm": ("num_groups", "num_channels"),
    "LayerNorm": ("normalized_shape", "eps"),
    "MultiheadAttention": ("embed_dim", "num_heads", "dropout"),
    **dict.fromkeys(RNNS, ("input_size", "hidden_size", "num_layers")),
}


def constructor_order(kind: str) -> tuple[str, ...]:
    """The first parameters of a torch layer's constructor, for a subclass that passes them to `super().__init__`."""
    return next(
        (names for start, names in _ORDER.items() if kind == start or start in ("Conv", "BatchNorm") and kind.startswith(start)), ()
    )


def setting_of(module: ModuleFacts, parameter: str, dim: int) -> str:
    """The constructor argument that decided dimension `dim` of the layer's parameter ("" where none is known)."""
    kind = base_kind(module)
    if kind in RNNS:
        of_rnn: tuple[str, ...] = {"weight_ih": _RNN_INPUT, "weight_hh": _RNN_HIDDEN}.get(parameter[:9], ("hidden_size",))
        return of_rnn[dim] if dim < len(of_rnn) else ""
    sizes = _PARAMETER_SIZES.get(kind, {}).get(parameter, ())
    if len(sizes) == 1 and sizes[0] == "normalized_shape":
        return sizes[0]
    if 0 <= dim < len(sizes):
        return sizes[dim]
    return "kernel_size" if dim >= 2 and kind.startswith("Conv") and parameter == "weight" else ""


def same_padding(module: ModuleFacts) -> str | None:
    """The `padding` with which a convolution built without stride would keep the size of its input; None where there is no one number."""
    kernels, dilations = numbers(module.setting("kernel_size")), numbers(module.setting("dilation")) or (1,)
    strides = numbers(module.setting("stride")) or (1,)
    if not kernels or set(strides) != {1} or not base_kind(module).startswith("Conv") or "Transpose" in module.kind:
        return None
    wanted = {dilation * (kernel - 1) / 2 for kernel, dilation in zip(kernels, dilations * len(kernels))}
    each = wanted.pop() if len(wanted) == 1 else 0.5
    return str(int(each)) if each == int(each) and each else None
