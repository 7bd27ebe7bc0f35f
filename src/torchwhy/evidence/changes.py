"""Other values for one argument, small steps first: what to try in its place to learn whether it is the one to blame."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Any

import torch

Changed = tuple[str, Any]
"""What is changed (as `model.Change.what` says it) and the value with that change."""

_DTYPES = (torch.float32, torch.int64, torch.float64, torch.bool, torch.int32, torch.uint8, torch.complex64)
_WORDS = ("mean", "sum", "none", "constant", "nearest", "bilinear", "zeros", "fro", "same", "valid", "relu", "tanh", "reduced", "L", "ij")
_HIGHEST_RANK = 6


def changes(value: Any, tensors: list[torch.Tensor], message: str, depth: int = 1) -> Iterator[Changed]:
    """`tensors`: the other tensors of the call, whose sizes and dtypes come first."""
    if isinstance(value, torch.Tensor):
        yield from of_tensor(value, tensors)
    elif isinstance(value, bool):
        yield "value", not value
        yield "type", int(value)
    elif isinstance(value, int):
        yield from (("value", n) for n in _integers(value, tensors))
        yield from (("type", v) for v in (float(value), (value,), None, True, "mean"))
    elif isinstance(value, (float, complex)):
        yield from (("value", x) for x in (0.5, 1.0, 0.0, 2.0, 1e-3, -value) if x != value)
        yield from (("type", v) for v in (_whole(value), None, True, (1,)))
    elif isinstance(value, str):
        yield from (("value", word) for word in _words(message, value))
        yield from (("type", v) for v in (1, 0.5, None, False, 2))
        yield from (("type", t) for t in stand_ins(tensors))
    elif value is None:
        yield from (("value", v) for v in (1, 0.5, True, 0, "mean"))
        yield from (("value", t) for t in stand_ins(tensors))
        yield from (("value", v) for v in ((1,), (1, 1)))
    elif isinstance(value, torch.dtype):
        yield from (("value", dtype) for dtype in _DTYPES if dtype != value)
        yield "value", None
    elif isinstance(value, (list, tuple)):
        yield from _of_items(value, tensors, message, depth)
    elif type(value).__module__ == "numpy" and hasattr(value, "dtype"):
        yield "type", torch.ones(tuple(value.shape)) if value.shape else value.item()
    else:
        yield from (("type", v) for v in (1, 0.5, None, "mean", torch.float32))
        yield from (("type", t) for t in stand_ins(tensors))


def _whole(value: float | complex) -> int:
    return int(value) if isinstance(value, float) and abs(value) < 1e9 else 1


def _integers(value: int, tensors: list[torch.Tensor]) -> Iterable[int]:
    sizes = [size for tensor in tensors for size in tensor.shape]
    ranks = [tensor.dim() for tensor in tensors]
    steps = (1, 0, 2, -1, 3, value - 1, value + 1, abs(value), 4, 8, *ranks, *sizes, *(s - 1 for s in sizes))
    return [n for n in dict.fromkeys(steps) if n != value and abs(n) < 1 << 20]


def _words(message: str, value: str) -> list[str]:
    """Words that the message quotes, then some that are usual."""
    quoted = re.findall(r"[\"'`]([\w-]{1,24})[\"'`]", message) + re.findall(r"\b([a-z_]{2,24})\b", message)[-24:]
    return [word for word in dict.fromkeys((*quoted, *_WORDS)) if word != value][:48]


def stand_ins(tensors: list[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Tensors to give where something else was given: like the others, and one for each of their sizes."""
    yield torch.tensor(1.0)
    yield torch.tensor(1)
    yield torch.ones(2)
    for tensor in tensors[:2]:
        if tensor.layout is torch.strided:
            yield torch.ones(tensor.shape, dtype=tensor.dtype, device=tensor.device)
    for size in dict.fromkeys(size for tensor in tensors[:3] for size in tensor.shape):
        yield torch.ones(size)


def _of_items(value: Any, tensors: list[torch.Tensor], message: str, depth: int) -> Iterator[Changed]:
    kind = tuple if isinstance(value, tuple) else list
    items = list(value)
    if all(isinstance(item, (int, float)) for item in items):
        yield from (("size", kind(other)) for other in _lengths(items))
        yield from (("type", item) for item in items[:1])
    elif len(items) > 1:
        yield from (("size", kind(items[:n] + items[n + 1 :])) for n in range(min(3, len(items))))
    yield from (("type", v) for v in (1, None, torch.ones(len(items)) if len(items) < 100 else None))
    if depth:
        for number, item in enumerate(items[:4]):
            for what, other in itertools.islice(changes(item, tensors, message, depth - 1), 60):
                yield what, kind([*items[:number], other, *items[number + 1 :]])
    for what, other in changes(items[0], tensors, message, 0) if depth and items and not isinstance(items[0], torch.Tensor) else ():
        yield what, kind([other] * len(items))
    if not items:
        yield from (("size", kind([t])) for t in (*tensors[:1], torch.ones(2)))
        yield from (("size", kind(v)) for v in ((1,), (1, 1)))


def _lengths(items: list[Any]) -> Iterator[list[Any]]:
    last = items[-1:] or [1]
    yield from (items[:n] for n in range(len(items) - 1, 0, -1))
    yield from (items + last * n for n in range(1, 4))
    if len(set(map(str, items))) < len(items):
        yield list(dict.fromkeys(items))
    yield list(range(len(items)))


# ── tensors ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def of_tensor(tensor: torch.Tensor, others: list[torch.Tensor]) -> Iterator[Changed]:
    """One property changed at a time."""
    data = tensor.detach()
    parts = (
        _placed(tensor, others),
        _converted(data, others),
        _ranks(data),
        _sized(data, others),
        _shaped(data, others),
        _contents(data),
        _no_tensors(tensor),
    )
    for part in parts:
        try:
            yield from part
        except (RuntimeError, NotImplementedError, TypeError, ValueError):  # meta, nested, quantized tensors have no such form
            continue


def _placed(tensor: torch.Tensor, others: list[torch.Tensor]) -> Iterator[Changed]:
    """On another device, in another layout, out of the graph."""
    if tensor.device.type != "cpu":
        yield "device", torch.ones(tensor.shape, dtype=tensor.dtype)
    elif any(t.device.type == "meta" for t in others):
        yield "device", tensor.to("meta")
    if tensor.layout is not torch.strided:
        yield "layout", tensor.to_dense()
        yield "layout", tensor.to_dense().to_sparse()
    elif any(t.layout is not torch.strided for t in others):
        yield "layout", tensor.to_sparse()
    elif not tensor.is_contiguous() or tensor._is_view():
        yield "layout", tensor.detach().clone(memory_format=torch.contiguous_format)
    if tensor.requires_grad:
        yield "grad", tensor.detach()


def _converted(data: torch.Tensor, others: list[torch.Tensor]) -> Iterator[Changed]:
    dtypes = dict.fromkeys((*(t.dtype for t in others), *_DTYPES))
    yield from (("dtype", data.to(dtype)) for dtype in dtypes if dtype != data.dtype)


def _sized(data: torch.Tensor, others: list[torch.Tensor]) -> Iterator[Changed]:
    sizes = dict.fromkeys((*(s for t in others for s in t.shape), 1, 2, 3, 4))
    for dim, size in enumerate(data.shape):
        for other in dict.fromkeys(
            (*sizes, size + 1, size - 1, *(s - size for s in sizes), *(s + size for s in sizes), size * 2, size * 3)
        ):
            if other != size and 0 < other <= 4096:
                yield "size", resized(data, dim, other)


def _shaped(data: torch.Tensor, others: list[torch.Tensor]) -> Iterator[Changed]:
    """In the shapes of the others, and in some usual ones."""
    sizes = dict.fromkeys(s for t in others for s in t.shape)
    shapes = [tuple(t.shape) for t in others]
    shapes += [tuple(t.shape)[:-1] for t in others if t.dim()] + [tuple(t.shape)[1:] for t in others if t.dim()]
    pairs = itertools.product(list(sizes)[:5], repeat=2)
    for shape in dict.fromkeys((*shapes, *((s,) for s in sizes), *pairs, (1,), (2, 2), (3, 3), (2, 3, 4))):
        if tuple(data.shape) != shape and 0 not in shape:
            yield "rank" if len(shape) != data.dim() else "size", _filled(shape, data)


def _no_tensors(tensor: torch.Tensor) -> Iterator[Changed]:
    yield "type", None
    if tensor.numel() == 1 and tensor.device.type != "meta":
        yield "type", tensor.item()
    yield from (("type", v) for v in (1, (1, 1), torch.float32, "mean", 0.5, True, [tensor]))
    if tensor.grad_fn is not None:
        yield "values", tensor.detach().clone()


def _ranks(data: torch.Tensor) -> Iterator[Changed]:
    if data.dim():
        yield "rank", data[0] if data.shape[0] else data.new_zeros(data.shape[1:])
        yield "rank", data[..., 0] if data.shape[-1] else data.new_zeros(data.shape[:-1])
    yield "rank", data.unsqueeze(0)
    yield "rank", data.unsqueeze(-1)
    if data.dim() > 1:
        yield "rank", data.unsqueeze(1)
        yield "rank", data.flatten(0, 1)
        yield "rank", data.flatten()
        yield "rank", data.reshape(-1)[:1].reshape(()) if data.numel() else data.new_zeros(())
    for rank in range(data.dim() + 2, _HIGHEST_RANK):
        yield "rank", data.reshape((1,) * (rank - data.dim()) + tuple(data.shape))
        yield "rank", data.reshape(tuple(data.shape) + (1,) * (rank - data.dim()))


def resized(data: torch.Tensor, dim: int, size: int) -> torch.Tensor:
    """Another size in one dimension: cut, or its own values repeated."""
    if not data.numel():
        shape = [size if d == dim else s for d, s in enumerate(data.shape)]
        return data.new_ones(shape)
    return data.index_select(dim, torch.arange(size, device=data.device) % data.shape[dim])


def _filled(shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
    """A tensor of that shape with the values of another."""
    count = 1
    for size in shape:
        count *= size
    if not like.numel() or like.device.type == "meta" or count > 1 << 20:
        return torch.ones(shape if count <= 1 << 20 else (1,), dtype=like.dtype, device=like.device)
    flat = like.reshape(-1)
    return flat[torch.arange(count) % flat.numel()].reshape(shape)


def _contents(data: torch.Tensor) -> Iterator[Changed]:
    if data.device.type == "meta":
        return
    if data.dtype is not torch.bool:
        yield "values", data.abs() if not data.is_complex() else data.conj().resolve_conj()
    yield "values", torch.zeros_like(data)
    yield "values", torch.ones_like(data)
    if data.numel():
        yield "values", torch.arange(data.numel(), device=data.device).reshape(data.shape).to(data.dtype)
        yield "values", torch.full_like(data, 0.5 if data.is_floating_point() else 2)
    if data.dim() >= 2 and data.shape[-1] == data.shape[-2]:
        yield "values", torch.eye(data.shape[-1], dtype=data.dtype, device=data.device).expand(data.shape).clone()
