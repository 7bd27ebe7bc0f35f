"""Plain descriptions of live things: tensors by number, any other value bounded and without running user code."""

from __future__ import annotations

import itertools
import types
import weakref
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch

from ..model import Items, Plain, TensorFacts, Value, ValueFacts
from .kinds import bases_of, held_by, is_a, is_one_of, module_of, name_of, qualname_of

RawTensor = tuple[Any, ...]
"""id, shape, dtype, device, stride, layout, requires_grad, is_leaf, grad_fn, version, storage, kind, is_inference"""

_disabled = torch._C._disabled_torch_function_impl
_Guard = torch._C.DisableTorchFunctionSubclass
_TEXT = 80
_COLLECTIONS: tuple[Any, ...] = (list, tuple, set, frozenset)
_AS_TEXT = (int, float, bool, str)
_ITEMS = 64


class Identities:
    """Numbers for live objects, kept weakly: the same object has the same number as long as it lives."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[Any], int]] = {}
        self._count = itertools.count(1)
        self._limit = 4096

    def of(self, thing: Any) -> int:
        """The object's number; a new one at first sight."""
        key = id(thing)
        entry = self._known.get(key)
        if entry is not None and entry[0]() is thing:
            return entry[1]
        number = next(self._count)
        self._known[key] = (weakref.ref(thing), number)
        if len(self._known) > self._limit:
            self._known = {k: e for k, e in list(self._known.items()) if e[0]() is not None}
            self._limit = max(4096, 2 * len(self._known))
        return number

    def known(self, thing: Any) -> int | None:
        """The object's number, if it has one."""
        entry = self._known.get(id(thing))
        return entry[1] if entry is not None and entry[0]() is thing else None

    def living(self) -> list[tuple[int, Any]]:
        """All known objects that still live, oldest first."""
        pairs = [(number, ref()) for ref, number in list(self._known.values())]
        return sorted(((n, thing) for n, thing in pairs if thing is not None), key=lambda pair: pair[0])


class TensorIdentities:
    """Numbers for live tensors. No weak reference is made to a tensor: `torch.utils.swap_tensors` refuses those that have one.

    A tensor is known by its address and its storage. A weak reference to the storage (torch's own kind, not Python's)
    keeps the storage's address from being used again, so that another tensor at the same address is told apart; one that
    shares the storage too is told apart where it comes out of an op (`renew`).
    """

    def __init__(self) -> None:
        # by address: torch's weak pointer to the storage, and the number. The pointers are freed where an entry goes, not by
        # a destructor: that would be a call of ours anywhere in the program, also at the end of its stack
        self._known: dict[int, tuple[int | None, int]] = {}
        self._limit = 4096
        self.count = 0

    def of(self, tensor: torch.Tensor, storage: torch.UntypedStorage | None = None) -> int:
        """The tensor's number; a new one at first sight. Call it with torch functions disabled."""
        storage = _storage_of(tensor) if storage is None else storage
        entry = self._known.get(id(tensor))
        if entry is not None and _is_at(entry[0], storage):
            return entry[1]
        self.count += 1
        self._note(tensor, storage, self.count)
        return self.count

    def renew(self, tensor: torch.Tensor, since: int) -> None:
        """Forgets the number that another tensor had at this address, if it was given before `since`."""
        entry = self._known.get(id(tensor))
        if entry is not None and entry[1] <= since:
            del self._known[id(tensor)]
            _free(entry[0])

    def keep(self, tensor: torch.Tensor, number: int) -> None:
        """The tensor has got another storage, and stays what it is."""
        storage = _storage_of(tensor)
        entry = self._known.get(id(tensor))
        if entry is None or not _is_at(entry[0], storage):
            self._note(tensor, storage, number)

    def known(self, tensor: torch.Tensor) -> int | None:
        """The tensor's number, if it has one."""
        entry = self._known.get(id(tensor))
        return entry[1] if entry is not None and _is_at(entry[0], _storage_of(tensor)) else None

    def _note(self, tensor: torch.Tensor, storage: torch.UntypedStorage | None, number: int) -> None:
        before = self._known.get(id(tensor))
        self._known[id(tensor)] = (storage._weak_ref() if storage is not None else None, number)
        if before is not None:
            _free(before[0])
        if len(self._known) > self._limit:
            self._drop_dead()

    def _drop_dead(self) -> None:
        for key, (pointer, _) in list(self._known.items()):
            if pointer is not None and torch.Storage._expired(pointer):
                del self._known[key]
                _free(pointer)
        self._limit = max(4096, 2 * len(self._known))

    def __del__(self) -> None:
        for pointer, _ in self._known.values():
            _free(pointer)


def _free(pointer: int | None, free: Callable[[int], None] = torch.Storage._free_weak_ref) -> None:
    if pointer is not None:
        free(pointer)


def _storage_of(tensor: torch.Tensor) -> torch.UntypedStorage | None:
    try:
        return tensor.untyped_storage()
    except Exception:  # sparse and nested layouts, functorch wrappers
        return None


def _is_at(pointer: int | None, storage: torch.UntypedStorage | None) -> bool:
    return pointer == (storage._cdata if storage is not None else None)


class Facts:
    """Describes tensors and other values under one set of identities."""

    def __init__(self) -> None:
        self.tensors = TensorIdentities()

    def raw(self, tensor: torch.Tensor) -> RawTensor:
        """What the tensor is now, as a cheap tuple; never raises. Call it with the torch function mode popped."""
        kind = type(tensor)
        if kind is torch.Tensor or kind.__torch_function__ is _disabled:
            return self._read(tensor, kind)
        with _Guard():
            return self._read(tensor, kind)

    def _read(self, tensor: torch.Tensor, kind: type) -> RawTensor:
        try:
            inference = tensor.is_inference()
            node = tensor.grad_fn
            strided = tensor.layout is torch.strided
            storage = tensor.untyped_storage() if strided else None
            return (
                self.tensors.of(tensor, storage),
                tensor.shape,
                tensor.dtype,
                tensor.device,
                tensor.stride() if strided else None,
                tensor.layout,
                tensor.requires_grad,
                node is None,  # what `is_leaf` answers, without asking
                type(node).__name__ if node is not None else None,
                None if inference else tensor._version,
                storage._cdata if storage is not None else None,
                kind.__name__,
                inference,
            )
        except Exception:
            return self._read_piecewise(tensor, kind)

    def _read_piecewise(self, tensor: torch.Tensor, kind: type) -> RawTensor:
        """For tensors that lack some property: lazy parameters, functorch wrappers, sparse and nested layouts."""

        def get(read: Any) -> Any:
            try:
                return read()
            except Exception:
                return None

        node = get(lambda: tensor.grad_fn)
        return (
            self.tensors.of(tensor),
            get(lambda: tensor.shape),
            get(lambda: tensor.dtype),
            get(lambda: tensor.device),
            get(lambda: tensor.stride()),
            get(lambda: tensor.layout),
            bool(get(lambda: tensor.requires_grad)),
            bool(get(lambda: tensor.is_leaf)),
            type(node).__name__ if node is not None else None,
            get(lambda: tensor._version),
            get(lambda: tensor.untyped_storage()._cdata),
            kind.__name__,
            bool(get(lambda: tensor.is_inference())),
        )

    def of(self, tensor: torch.Tensor) -> TensorFacts:
        """The facts of a live tensor."""
        with torch._C.DisableTorchFunction():
            return tensor_facts(self.raw(tensor))

    def describe(self, value: Any, depth: int = 3) -> Value:
        """Any value, bounded; user classes by their type's name only; never raises."""
        try:
            return self._describe(value, depth)
        except Exception:
            name = name_of(type(value))
            return Plain(name, name)

    def _describe(self, value: Any, depth: int) -> Value:
        kind = type(value)
        name = name_of(kind)
        if is_one_of(kind, (int, float, bool, type(None))):
            return Plain(name, _short(repr(value) if kind is not int or value.bit_length() < 4096 else "a large int"), value)
        if kind is str:
            return Plain(name, _short(repr(value[: _TEXT + 1])), value if len(value) <= 4 * _TEXT else value[: 4 * _TEXT])
        if is_a(value, torch.Tensor):
            return self.of(value)
        if kind is RawValue:
            return plain_value(value)
        if is_a(value, _COLLECTIONS):
            if depth <= 0:
                return Items(name, _length(value))
            iterator = {list: list.__iter__, tuple: tuple.__iter__, set: set.__iter__, frozenset: frozenset.__iter__}
            builtin: Any = next(b for b in _COLLECTIONS if is_a(value, b))
            first = tuple(itertools.islice(iterator[builtin](value), _ITEMS))  # type: ignore[operator]
            return Items(name, _length(value), tuple(self.describe(item, depth - 1) for item in first))
        if is_a(value, dict):
            if depth <= 0:
                return Items(name, _length(value))
            pairs = list(itertools.islice(dict.items(value), _ITEMS))
            keys = tuple(str(k) if is_one_of(type(k), _AS_TEXT) else name_of(type(k)) for k, _ in pairs)
            return Items(name, _length(value), tuple(self.describe(v, depth - 1) for _, v in pairs), keys)
        return Plain(name, _short(_text(value, kind)))


class RawValue:
    """A value seen in an op, already plain: its type's name and its text."""

    __slots__ = ("kind", "text")

    def __init__(self, kind: str, text: str) -> None:
        self.kind, self.text = kind, text


def plain_value(raw: RawValue) -> Plain:
    """The model's form of a raw value."""
    return Plain(raw.kind, raw.text)


def _length(value: Any) -> int:
    builtin: Any = next((b for b in (list, tuple, set, frozenset, dict) if is_a(value, b)), None)
    return int(builtin.__len__(value)) if builtin is not None else 0


def _short(text: str) -> str:
    return text if len(text) <= _TEXT else text[: _TEXT - 1] + "…"


_SAFE_TYPES = (torch.device, torch.layout, torch.memory_format, complex, bytes, range, slice, type(Ellipsis))


def _text(value: Any, kind: type) -> str:
    if kind is torch.dtype:
        return dtype_name(value)
    if is_one_of(kind, _SAFE_TYPES):
        if kind is slice:
            return ":".join(
                "" if v is None else str(v) if type(v) is int else name_of(type(v)) for v in (value.start, value.stop, value.step)
            )
        return str(value) if kind is not bytes else f"{len(value)} bytes"
    if module_of(kind) == "numpy":
        return _numpy_text(value, kind)
    if is_one_of(kind, (types.FunctionType, types.BuiltinFunctionType)):
        return str(value.__qualname__)
    if is_a(value, types.MethodType):
        function = value.__func__
        return str(function.__qualname__) if type(function) is types.FunctionType else name_of(kind)
    if is_a(value, type):
        return qualname_of(value)
    if is_a(value, types.ModuleType):
        name = held_by(value).get("__name__")
        return name if type(name) is str else "module"
    return name_of(kind)


def _numpy_text(value: Any, kind: type) -> str:
    """Numpy's own types; an array of objects has the program's in it."""
    if name_of(kind) == "ndarray":
        return f"{value.dtype} {list(value.shape)}"
    return str(value) if any(name_of(base) == "generic" for base in bases_of(kind)) else name_of(kind)


@lru_cache(maxsize=256)
def dtype_name(dtype: Any) -> str:
    """`float32`, as PyTorch prints it without `torch.`."""
    return str(dtype).removeprefix("torch.")


def _number(size: Any) -> int:
    if type(size) is int:
        return size
    hint = getattr(getattr(size, "node", None), "hint", None)
    return hint if type(hint) is int else -1


def tensor_facts(raw: RawTensor) -> TensorFacts:
    """The model's form of a raw tensor description."""
    number, shape, dtype, device, stride, layout, requires_grad, is_leaf, grad_fn, version, storage, kind, inference = raw
    return TensorFacts(
        number,
        tuple(map(_number, shape)) if shape is not None else None,
        dtype_name(dtype) if dtype is not None else "?",
        str(device) if device is not None else "?",
        tuple(map(_number, stride)) if stride is not None else None,
        dtype_name(layout) if layout is not None else "strided",
        requires_grad,
        is_leaf,
        grad_fn,
        version,
        storage,
        kind,
        inference,
    )


def value_facts(tensor: torch.Tensor) -> ValueFacts | None:
    """The range of a tensor's values; None where that would be dear or cannot be read. Only after a failure."""
    with torch._C.DisableTorchFunction():
        return _value_facts(tensor)


def _value_facts(tensor: torch.Tensor) -> ValueFacts | None:
    try:
        limit = 10_000_000 if tensor.device.type == "cpu" or not tensor.is_floating_point() else 1_000_000
        if tensor.device.type == "meta" or tensor.is_complex() or not 0 < tensor.numel() <= limit or tensor.layout is not torch.strided:
            return None
        with torch.no_grad():
            data = tensor.detach()
            flat = data.reshape(-1)
            sample = ", ".join(f"{v:.6g}" if isinstance(v, float) else str(v) for v in flat[:6].tolist()) + (
                ", …" if flat.numel() > 6 else ""
            )
            nans = infs = 0
            lowest = highest = flat.to(torch.uint8) if flat.dtype is torch.bool else flat
            if flat.is_floating_point():
                nan = torch.isnan(flat)
                nans, infs = int(nan.sum()), int(torch.isinf(flat).sum())
                if nans == flat.numel():
                    return ValueFacts(nans=nans, sample=sample)
                if nans:
                    lowest, highest = flat.masked_fill(nan, float("inf")), flat.masked_fill(nan, float("-inf"))
            low, high = int(lowest.argmin()), int(highest.argmax())
            return ValueFacts(
                lowest[low].item(), highest[high].item(), _place(low, data.shape), _place(high, data.shape), nans, infs, sample
            )
    except Exception:
        return None


def _place(index: int, shape: torch.Size) -> tuple[int, ...]:
    place: list[int] = []
    for size in reversed(shape):
        index, rest = divmod(index, size)
        place.append(rest)
    return tuple(reversed(place))
