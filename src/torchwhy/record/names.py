"""Plain names for torch's functions, and their arguments by parameter name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch

from ..model import Argument, Items, Plain, TensorFacts, Value

_OPERATORS = {
    "__truediv__": "div",
    "__rtruediv__": "rdiv",
    "__rdiv__": "rdiv",
    "__itruediv__": "div_",
    "__idiv__": "div_",
    "__div__": "div",
    "__floordiv__": "floor_divide",
    "__rfloordiv__": "floor_divide",
    "__ifloordiv__": "floor_divide_",
    "__mod__": "remainder",
    "__rmod__": "remainder",
    "__imod__": "remainder_",
    "__and__": "bitwise_and",
    "__or__": "bitwise_or",
    "__xor__": "bitwise_xor",
    "__invert__": "bitwise_not",
    "__iand__": "bitwise_and_",
    "__ior__": "bitwise_or_",
    "__ixor__": "bitwise_xor_",
    "__radd__": "add",
    "__rmul__": "mul",
    "__rpow__": "rpow",
    "__rmatmul__": "matmul",
    "__rand__": "bitwise_and",
    "__ror__": "bitwise_or",
    "__rxor__": "bitwise_xor",
    "__rsub__": "rsub",
    "__abs__": "abs",
    "__neg__": "neg",
    "__pos__": "positive",
    "__lshift__": "bitwise_left_shift",
    "__rshift__": "bitwise_right_shift",
    "_max_pool2d": "max_pool2d",
    "_max_pool1d": "max_pool1d",
    "_max_pool3d": "max_pool3d",
    "max_pool2d_with_indices": "max_pool2d",
    "max_pool1d_with_indices": "max_pool1d",
    "max_pool3d_with_indices": "max_pool3d",
}
_KEPT = frozenset({"__float__", "__int__", "__bool__", "__index__", "__complex__", "__array__", "__dlpack__", "__cuda_array_interface__"})
_PARAMETERS = {
    "getitem": ("input", "index"),
    "setitem": ("input", "index", "value"),
    "data.set": ("input", "value"),
    "requires_grad.set": ("input", "value"),
    "to": ("input", "other", "dtype", "non_blocking", "copy"),
    "view": ("input", "size"),
    "reshape": ("input", "shape"),
    "permute": ("input", "dims"),
    "expand": ("input", "size"),
    "repeat": ("input", "repeats"),
    "tensor": ("data",),
    "as_tensor": ("data",),
    "Parameter": ("data", "requires_grad"),
    "backward": ("tensors", "grad_tensors", "retain_graph", "create_graph", "inputs"),
    "from_numpy": ("ndarray",),
    "frombuffer": ("buffer",),
    "from_dlpack": ("ext_tensor",),
    "set_grad_enabled": ("mode",),
    "train": ("mode",),
    "eval": ("mode",),
    "batch": ("batch",),
    "Function.apply": (),
    "rsub": ("input", "other"),
    "rdiv": ("input", "other"),
    "rpow": ("input", "other"),
}
_ABSORBING = frozenset(
    {
        "view",
        "reshape",
        "permute",
        "expand",
        "repeat",
        "zeros",
        "ones",
        "randn",
        "rand",
        "empty",
        "flip",
        "tile",
        "new_zeros",
        "new_ones",
        "new_empty",
    }
)


def plain_name(what: Any) -> str:
    """`linear`, `add_`, `getitem`; for a module or function class its name; for an event of ours that text."""
    if isinstance(what, str):
        return what.rpartition(":")[0] or what
    name = str(getattr(what, "__name__", type(what).__name__))
    if name in ("__get__", "__set__"):
        attribute = str(getattr(getattr(what, "__self__", None), "__name__", name))
        return attribute if name == "__get__" else f"{attribute}.set"
    if name in _OPERATORS:
        return _OPERATORS[name]
    if name.startswith("__") and name.endswith("__") and name not in _KEPT:
        bare = name[2:-2]
        return f"{bare[1:]}_" if bare[:1] == "i" and f"__{bare[1:]}__" in dir(torch.Tensor) else bare
    return name


def qualified_name(what: Any) -> str:
    """Where the function lives, such as `torch.nn.functional.cross_entropy` or `Tensor.add`."""
    if isinstance(what, str):
        return what.rpartition(":")[2]
    qualname = str(getattr(what, "__qualname__", "") or plain_name(what)).replace("TensorBase.", "Tensor.")
    if qualname.startswith(("_VariableFunctionsClass.", "_VariableFunctions.")):
        return f"torch.{qualname.partition('.')[2]}"
    if qualname.startswith("getset_descriptor"):
        return f"Tensor.{plain_name(what)}"
    module = getattr(what, "__module__", None)
    if not module or qualname.startswith("Tensor."):
        return qualname
    return f"{module}.{getattr(what, '__name__', qualname) if '<locals>' in qualname else qualname}"


@lru_cache(maxsize=2048)
def _schemas(name: str) -> tuple[tuple[tuple[str, str], ...], ...]:
    """For each overload of an ATen operator its parameters: (name, type)."""
    try:
        found = torch._C._jit_get_schemas_for_operator(f"aten::{name}")
    except Exception:
        return ()
    overloads = []
    for schema in found:
        if "out" not in {a.name for a in schema.arguments if a.is_out}:
            overloads.append(tuple(("input" if a.name == "self" else a.name, str(a.type)) for a in schema.arguments))
    return tuple(overloads)


@lru_cache(maxsize=2048)
def _python_parameters(function: Callable[..., Any]) -> tuple[tuple[str, ...], str]:
    """Names of positional parameters, and that of `*args` if any."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return (), ""
    positional = tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD))
    return positional, next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "")


_ACCEPTED = {
    "none": ("Optional", "?"),
    "bool": ("bool", "Scalar", "number"),
    "int": ("int", "number", "Scalar", "float", "SymInt"),
    "float": ("float", "number", "Scalar"),
    "list": ("List", "[]"),
}


def _token(value: Value) -> str:
    """The kind of a value, as far as overloads differ by it."""
    if isinstance(value, TensorFacts):
        return "tensor"
    if isinstance(value, Items):
        return "list"
    return value.kind if value.kind in ("bool", "int", "float") else "none" if value.kind == "NoneType" else "other"


def _fits(token: str, kind: str) -> bool:
    if token == "tensor":
        return "Tensor" in kind and "List" not in kind
    if token == "other":
        return "Tensor" not in kind
    return any(word in kind for word in _ACCEPTED[token])


@lru_cache(maxsize=4096)
def _choose(name: str, tokens: tuple[str, ...], keywords: tuple[str, ...]) -> tuple[str, ...]:
    """The parameters of the overload that such a call takes."""
    best: tuple[str, ...] = ()
    best_score = -1.0
    for overload in _schemas(name):
        names = tuple(n for n, _ in overload)
        strange = sum(k not in names and k not in ("out", "dtype", "device", "requires_grad") for k in keywords)
        fitting = sum(_fits(token, kind) for token, (_, kind) in zip(tokens, overload))
        score = fitting - 2 * strange - 0.5 * max(0, len(tokens) - len(overload)) - 0.01 * len(overload)
        if score > best_score:
            best, best_score = names, score
    return best


def bind(what: Any, args: tuple[Value, ...], kwargs: dict[str, Value]) -> tuple[Argument, ...]:
    """Arguments under their parameter names; `self` of torch's own methods is called `input`."""
    name = plain_name(what)
    names: tuple[str, ...] = ()
    rest = ""
    if name in _PARAMETERS:
        names = _PARAMETERS[name]
        if name == "to" and len(args) > 1 and not isinstance(args[1], TensorFacts):
            names = ("input", "dtype") if isinstance(args[1], Plain) and args[1].kind == "dtype" else ("input", "device", "dtype")
    elif inspect.isfunction(what):
        names, rest = _python_parameters(what)
        if not names and rest:
            names = _choose(name, tuple(map(_token, args)), tuple(kwargs))
    elif isinstance(what, type):
        names, rest = _python_parameters(getattr(what, "forward", what))
        names = names[1:]
    else:
        tokens = tuple(map(_token, args))
        names = _choose(name, tokens, tuple(kwargs)) or _choose(name.rstrip("_"), tokens, tuple(kwargs))
    if names[:1] == ("self",) and not isinstance(what, type):
        names = ("input", *names[1:])
    if name in _ABSORBING and names:
        args = _absorb(args, 1 if names[0] == "input" else 0)
    if name == "einsum" and len(args) > 1:
        args, names = (
            (args[0], args[1] if isinstance(args[1], Items) else Items("tuple", len(args) - 1, args[1:])),
            ("equation", "operands"),
        )
    bound = [Argument(names[i] if i < len(names) else _spare(i, len(names), rest), value) for i, value in enumerate(args)]
    bound += [
        Argument({"self": "input", "val": "mode" if name == "set_grad_enabled" else "val"}.get(key, key), value)
        for key, value in kwargs.items()
    ]
    return tuple(bound)


def _spare(place: int, known: int, rest: str) -> str:
    if rest:
        return f"{rest}[{place - known}]"
    return "input" if place == 0 else f"arg{place}"


def _absorb(args: tuple[Value, ...], first: int) -> tuple[Value, ...]:
    """`view(2, -1)` is `view((2, -1))`."""
    sizes = args[first:]
    if len(sizes) >= 1 and all(isinstance(size, Plain) and type(size.value) is int for size in sizes):
        return (*args[:first], Items("tuple", len(sizes), sizes))
    return args
