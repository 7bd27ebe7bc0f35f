"""Where a size of an op's output comes from: a dimension of an input, a product of some, or the op's own arguments.

One rule per kind of op; what no rule knows is matched by order and size. Sources: the operators' documentation pages on docs.pytorch.org.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..model import Items, OpRecord, Plain, TensorFacts, Value
from .history import first_tensor, number, numbers, spread

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Carried:
    """The size is that of dimension `dim` of `tensor`, or made from it (`exact` False: kernel, stride, slice …)."""

    tensor: TensorFacts
    dim: int
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Product:
    """The size is the product of several dimensions of one input (flatten, view, reshape)."""

    tensor: TensorFacts
    dims: tuple[int, ...]

    @property
    def text(self) -> str:
        return " · ".join(str((self.tensor.shape or ())[d]) for d in self.dims)


@dataclass(frozen=True, slots=True)
class Given:
    """The size was given to the op itself, in the argument named `argument` ("" where the op decides it in another way)."""

    argument: str = ""


SizeSource = Carried | Product | Given


def source_of_size(op: OpRecord, out: TensorFacts, dim: int) -> SizeSource:
    """What decided `out.shape[dim]` in the op that made `out`. Never raises."""
    if not out.shape:
        return Given()
    dim = dim % max(1, len(out.shape))
    rule = _RULES.get(op.name.rstrip("_"), _by_position)
    try:
        return rule(op, out, dim)
    except (IndexError, ValueError, TypeError, ZeroDivisionError):
        return _by_position(op, out, dim)


def groups(source: Shape, target: Shape) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Pairs (dims of source, dims of target) with equal products, as small as possible, in order: how a view regroups sizes."""
    pairs, i, j = [], 0, 0
    while i < len(source) or j < len(target):
        left, right = [], []
        a = b = 1
        if i < len(source):
            left.append(i)
            a, i = source[i], i + 1
        if j < len(target):
            right.append(j)
            b, j = target[j], j + 1
        while a != b and (i < len(source) or j < len(target)):
            if (a < b and i < len(source)) or j >= len(target):
                left.append(i)
                a, i = a * source[i], i + 1
            else:
                right.append(j)
                b, j = b * target[j], j + 1
        pairs.append((tuple(left), tuple(right)))
    return pairs


def _tensors(op: OpRecord) -> tuple[TensorFacts, ...]:
    return tuple(t for t in op.inputs if t.shape is not None)


def _by_position(op: OpRecord, out: TensorFacts, dim: int) -> SizeSource:
    """Broadcasting rule first (dims aligned at the right), then the same size in the same order."""
    shape = out.shape or ()
    size, from_right = shape[dim], len(shape) - dim
    inputs = _tensors(op)
    for tensor in sorted(inputs, key=lambda t: t.shape != shape):
        at = tensor.rank - from_right
        if at >= 0 and tensor.shape and tensor.shape[at] == size and (tensor.rank == len(shape) or size != 1):
            return Carried(tensor, at)
    for tensor in inputs:
        matches = [d for d, s in enumerate(tensor.shape or ()) if s == size]
        if len(matches) == 1:
            return Carried(tensor, matches[0])
        if matches:
            return Carried(tensor, min(matches, key=lambda d: abs(d - dim)))
    return Given()


def _linear(op: OpRecord, out: TensorFacts, dim: int) -> SizeSource:
    x, weight = _tensors(op)[:2]
    return Carried(weight, 0) if dim == out.rank - 1 else Carried(x, dim)


def _matmul(op: OpRecord, out: TensorFacts, dim: int) -> SizeSource:
    a, b = _tensors(op)[-2:] if op.name.startswith(("addmm", "baddbmm")) else _tensors(op)[:2]
    if b.rank >= 2 and dim == out.rank - 1:
        return Carried(b, b.rank - 1)
    if a.rank >= 2 and dim == out.rank - (2 if b.rank >= 2 else 1):
        return Carried(a, a.rank - 2)
    return _by_position(op, out, dim)


def _conv(op: OpRecord, out: TensorFacts, dim: int) -> SizeSource:
    x, weight = _tensors(op)[:2]
    offset = x.rank - out.rank
    channels = out.rank - (weight.rank - 2) - 1
    if dim == channels:
        return Carried(weight, 1 if "transpose" in op.name else 0)
    return Carried(x, dim + offset, exact=dim < channels or (x.shape or ())[dim + offset] == (out.shape or ())[dim])


def _pool(op: OpRecord, out: TensorFacts, dim: int) -> SizeSource:
    x = _tensors(op)[0]
    same = (x.shape or ())[dim] == (out.shape or ())[dim]
    if not same and "adaptive" in op.name:
        return Given("output_size")
    if not same and op.name.startswith("interpolate"):
        return Given("size") if numbers(op.argument("size")) else Carried(x, dim, exact=False)
    return Carried(x, dim, exact=same)


def _regroup(op: OpRecord, out: TensorFacts, dim: int) -> SizeSource:
    x = _tensors(op)[0]
    for left, right in groups(x.shape or (), out.shape or ()):
        if dim in right:
            if len(right) == 1 and len(left) == 1:
                return Carried(x, left[0])
            if len(right) == 1 and left:
                real = tuple(d for d in left if (x.shape or ())[d] != 1) or left
                return Carried(x, real[0]) if len(real) == 1 else Product(x, real)
            if (out.shape or ())[dim] == 1:
                return Given()
            same = [d for d in left if (x.shape or ())[d] == (out.shape or ())[dim]]
            return Carried(x, same[0]) if len(same) == 1 else Given("shape")
    return Given("shape")


def _permuted(op: OpRecord, out: TensorFacts, dim: int) -> SizeSource:
    x = _tensors(op)[0]
    order = list(range(x.rank))
    if op.name == "permute":
        order = [d % x.rank for d in spread(op, "dims") or ()]
    elif op.name in ("t", "mT", "H", "mH", "T", "adjoint"):
        order = order[::-1] if op.name == "T" else order[:-2] + order[-2:][::-1]
    else:
        a = number(op.argument("dim0") or op.argument("axis0"))
        b = number(op.argument("dim1") or op.argument("axis1"))
        if a is None or b is None:
            return _by_position(op, out, dim)
        order[a], order[b] = order[b], order[a]
    return Carried(x, order[dim])


def _dropped(op: OpRecord, out: TensorFacts, dim: int) -> SizeSource:
    """Reductions, select, squeeze, unsqueeze: what is left keeps its order."""
    x = _tensors(op)[0]
    source, target = list(x.shape or ()), list(out.shape or ())
    if len(source) == len(target):
        return Carried(x, dim, exact=source[dim] == target[dim])
    axis = numbers(op.argument("dim") or op.argument("axis"))
    if op.name == "unsqueeze" and axis:
        at = axis[0] % len(target)
        return Given() if dim == at else Carried(x, dim - (dim > at))
    if axis and len(source) - len(target) == len(axis):
        kept = [d for d in range(len(source)) if d not in {a % len(source) for a in axis}]
        return Carried(x, kept[dim])
    return _in_order(x, target, dim)


def _in_order(x: TensorFacts, target: list[int], dim: int) -> SizeSource:
    position = 0
    for d, size in enumerate(x.shape or ()):
        if position < len(target) and size == target[position]:
            if position == dim:
                return Carried(x, d)
            position += 1
    return Given()


def _getitem(op: OpRecord, out: TensorFacts, dim: int) -> SizeSource:
    x = _tensors(op)[0]
    found = _indexed(op, x, out)
    if found is not None:
        return found[dim]
    others = [t for t in _tensors(op)[1:] if t.shape]
    size = (out.shape or ())[dim]
    if others and dim == 0 and others[0].shape and size == others[0].shape[0]:
        return Carried(others[0], 0)
    if x.rank == out.rank:
        return Carried(x, dim, exact=(x.shape or ())[dim] == size)
    in_order = _in_order(x, list(out.shape or ()), dim)
    if isinstance(in_order, Given) and x.rank > out.rank:
        at = dim + x.rank - out.rank
        return Carried(x, at, exact=(x.shape or ())[at] == size)
    return in_order


def _indexed(op: OpRecord, x: TensorFacts, out: TensorFacts) -> list[SizeSource] | None:
    """Each dimension of `x[index]`, by the index itself; None where that is not known, or has several tensors."""
    given = op.argument("index")
    index = list(given.items) if isinstance(given, Items) and given.kind == "tuple" else [given]
    kinds = [_kind_of(i) for i in index]
    if None in kinds or kinds.count("tensor") > 1 or kinds.count("...") > 1:
        return None
    taken = sum(kind in ("int", "slice", "tensor") for kind in kinds)
    kinds += ["..."] * ("..." not in kinds)
    found: list[SizeSource] = []
    at = 0
    for kind, value in zip(kinds, [*index, None]):
        if kind == "...":
            found += [Carried(x, at + n) for n in range(x.rank - taken)]
            at += x.rank - taken
        elif kind == "None":
            found.append(Given())
        elif kind == "tensor" and isinstance(value, TensorFacts):
            found += [Carried(value, n) for n in range(value.rank)] if value.dtype != "bool" else [Carried(x, at, exact=False)]
            at += 1
        else:
            if kind == "slice":
                found.append(Carried(x, at))
            at += 1
    shape = out.shape or ()
    if len(found) != len(shape):
        return None
    sizes = [(s.tensor.shape or ())[s.dim] if isinstance(s, Carried) and s.dim < s.tensor.rank else 1 for s in found]
    return [replace(s, exact=size == have) if isinstance(s, Carried) else s for s, size, have in zip(found, sizes, shape)]


def _kind_of(value: Value | None) -> str | None:
    if isinstance(value, TensorFacts):
        return "int" if not value.shape else "tensor"
    if not isinstance(value, Plain):
        return None
    named = {"int": "int", "slice": "slice", "ellipsis": "...", "NoneType": "None"}
    return named.get(value.kind)


def _parts(op: OpRecord, out: TensorFacts, dim: int) -> SizeSource:
    """`chunk` and `split` cut one dimension, `unbind` takes it away."""
    x = _tensors(op)[0]
    axis = (number(op.argument("dim")) or 0) % x.rank
    if op.name == "unbind":
        return Carried(x, dim + (dim >= axis))
    return Carried(x, dim, exact=(x.shape or ())[dim] == (out.shape or ())[dim])


def _einsum(op: OpRecord, out: TensorFacts, dim: int) -> SizeSource:
    equation = op.argument("equation")
    text = equation.value.replace(" ", "") if isinstance(equation, Plain) and isinstance(equation.value, str) else ""
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if not arrow or "." in text or len(terms) != len(_tensors(op)) or len(right) != out.rank:
        return _by_position(op, out, dim)
    return next((Carried(t, term.index(right[dim])) for t, term in zip(_tensors(op), terms) if right[dim] in term), Given("equation"))


def _indices(op: OpRecord, out: TensorFacts, dim: int) -> SizeSource:
    x, index = _tensors(op)[0], next((t for t in _tensors(op)[1:] if not t.is_floating), None)
    if op.name in ("gather", "take_along_dim") and index is not None and index.rank == out.rank:
        return Carried(index, dim)
    axis = number(op.argument("dim"))
    if index is not None and axis is not None and dim == axis % out.rank:
        return Carried(index, 0)
    return Carried(x, dim, exact=(x.shape or ())[dim] == (out.shape or ())[dim])


def _padded(op: OpRecord, out: TensorFacts, dim: int) -> SizeSource:
    """`pad_sequence`: the number of sequences, and the longest of them."""
    first = getattr(op.argument("batch_first"), "value", False) is True
    if dim == (0 if first else 1):
        return Given("sequences")
    if dim == (1 if first else 0):
        return next((Carried(t, 0) for t in _tensors(op) if t.shape and t.shape[0] == (out.shape or ())[dim]), Given("sequences"))
    return Carried(_tensors(op)[0], dim - 1)


def _shuffled(op: OpRecord, out: TensorFacts, dim: int) -> SizeSource:
    x = _tensors(op)[0]
    return Carried(x, dim, exact=(x.shape or ())[dim] == (out.shape or ())[dim])


def _cat(op: OpRecord, out: TensorFacts, dim: int) -> SizeSource:
    first = _tensors(op)[0]
    usual = {"hstack": int(out.rank > 1), "dstack": 2, "column_stack": 1}.get(op.name, 0)
    given = number(op.argument("dim"))
    axis = usual if given is None else given % out.rank
    if dim == axis and len(_tensors(op)) > 1:
        return Given("tensors")
    return Carried(first, dim) if first.rank == out.rank else _by_position(op, out, dim)


def _stack(op: OpRecord, out: TensorFacts, dim: int) -> SizeSource:
    axis = (number(op.argument("dim")) or 0) % out.rank
    return Given("tensors") if dim == axis else Carried(_tensors(op)[0], dim - (dim > axis))


def _embedding(op: OpRecord, out: TensorFacts, dim: int) -> SizeSource:
    tensors = sorted(_tensors(op)[:2], key=lambda t: t.is_floating)
    index, weight = tensors[0], tensors[-1]
    return Carried(weight, 1) if dim == out.rank - 1 else Carried(index, dim)


def _rnn(op: OpRecord, out: TensorFacts, dim: int) -> SizeSource:
    x = _tensors(op)[0]
    if dim == out.rank - 1:
        return Given("hidden_size")
    if op.outputs and op.outputs[0].id == out.id:
        return Carried(x, dim)
    if dim == 0:
        return Given("num_layers")
    packed = any(a.name == "batch_sizes" for a in op.arguments)
    first = getattr(op.argument("batch_first"), "value", False) is True
    return Given() if packed or x.rank != 3 else Carried(x, 0 if first else 1)


def _cell(op: OpRecord, out: TensorFacts, dim: int) -> SizeSource:
    return Given("hidden_size") if dim == out.rank - 1 else Carried(_tensors(op)[0], dim)


def _one_hot(op: OpRecord, out: TensorFacts, dim: int) -> SizeSource:
    return Given("num_classes") if dim == out.rank - 1 else Carried(_tensors(op)[0], dim)


def _created(op: OpRecord, out: TensorFacts, dim: int) -> SizeSource:
    like = first_tensor(op)
    if op.name.endswith("_like") and like is not None and like.shape is not None:
        return Carried(like, dim)
    return Given({"arange": "end", "eye": "n", "linspace": "steps"}.get(op.name, "size"))


def _expanded(op: OpRecord, out: TensorFacts, dim: int) -> SizeSource:
    x = _tensors(op)[0]
    at = dim - (out.rank - x.rank)
    if at >= 0 and (x.shape or ())[at] == (out.shape or ())[dim]:
        return Carried(x, at)
    return Carried(_tensors(op)[1], dim) if op.name == "expand_as" else Given("repeats" if op.name in ("repeat", "tile") else "size")


Rule = Callable[[OpRecord, TensorFacts, int], SizeSource]
_RULES: dict[str, Rule] = {}
for _rule, _names in (
    (_linear, "linear"),
    (_matmul, "matmul mm bmm mv addmm baddbmm rmatmul"),
    (_conv, "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d"),
    (
        _pool,
        "max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d "
        "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d lp_pool1d lp_pool2d interpolate pad unfold",
    ),
    (_regroup, "view reshape flatten unflatten view_as reshape_as ravel"),
    (_permuted, "permute transpose swapaxes swapdims t T mT H mH adjoint"),
    (
        _dropped,
        "sum mean amax amin max min argmax argmin std var prod any all logsumexp norm median mode squeeze unsqueeze select cross_entropy",
    ),
    (_getitem, "getitem"),
    (_indices, "index_select narrow gather take_along_dim"),
    (_parts, "chunk split tensor_split unbind hsplit vsplit"),
    (_einsum, "einsum"),
    (_padded, "pad_sequence"),
    (_shuffled, "pixel_shuffle pixel_unshuffle glu topk repeat_interleave diff"),
    (_cat, "cat concat concatenate hstack vstack dstack column_stack"),
    (_stack, "stack"),
    (_embedding, "embedding"),
    (_rnn, "lstm gru rnn_tanh rnn_relu"),
    (_cell, "lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell"),
    (_one_hot, "one_hot"),
    (
        _created,
        "zeros ones full empty rand randn randint arange eye linspace zeros_like ones_like full_like empty_like rand_like randn_like "
        "new_zeros new_ones new_full new_empty tensor from_numpy normal randperm",
    ),
    (_expanded, "expand repeat tile expand_as broadcast_to"),
):
    _RULES.update(dict.fromkeys(_names.split(), _rule))
