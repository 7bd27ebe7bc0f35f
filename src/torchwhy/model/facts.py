"""What was seen, plain: places, tensors and other values, ops, modules, graph nodes, loaders and optimizers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Union


# ── where ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, slots=True)
class Span:
    """A piece of source text. `file` is relative to the working directory where it lies below it."""

    file: str
    line: int
    column: int = 0
    end_line: int = 0
    end_column: int = 0
    function: str = ""

    @property
    def lines(self) -> range:
        return range(self.line, max(self.line, self.end_line) + 1)


# ── what a live thing looked like ─────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, slots=True)
class ValueFacts:
    """The range of a tensor's values, read once, after a failure (never while the program runs)."""

    low: float | int | None = None
    high: float | int | None = None
    low_at: tuple[int, ...] | None = None
    high_at: tuple[int, ...] | None = None
    nans: int = 0
    infs: int = 0
    sample: str = ""
    """The first few values as text."""


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """What a tensor was at one moment. `id` is unique in the run and stays with the tensor; `storage` names its memory."""

    id: int
    shape: tuple[int, ...] | None
    dtype: str
    device: str
    stride: tuple[int, ...] | None = None
    layout: str = "strided"
    requires_grad: bool = False
    is_leaf: bool = True
    grad_fn: str | None = None
    version: int | None = None
    storage: int | None = None
    kind: str = "Tensor"
    is_inference: bool = False
    values: ValueFacts | None = None

    @property
    def rank(self) -> int:
        return len(self.shape) if self.shape is not None else 0

    @property
    def numel(self) -> int:
        total = 1
        for size in self.shape or ():
            total *= size
        return total

    @property
    def is_contiguous(self) -> bool:
        if self.stride is None or self.shape is None:
            return True
        wanted = 1
        for size, stride in zip(reversed(self.shape), reversed(self.stride)):
            if size != 1 and stride != wanted:
                return False
            wanted *= size
        return True

    @property
    def is_floating(self) -> bool:
        return self.dtype.startswith(("float", "bfloat", "complex"))


@dataclass(frozen=True, slots=True)
class Plain:
    """A value that is not a tensor: its type's name, its text (shortened), and the value itself where it is a simple one."""

    kind: str
    text: str
    value: Union[int, float, str, bool, None] = None


@dataclass(frozen=True, slots=True)
class Items:
    """A list, tuple, set or dict of values; `items` holds at most the first 64, `keys` goes with a dict."""

    kind: str
    length: int
    items: tuple[Value, ...] = ()
    keys: tuple[str, ...] = ()


Value = Union[TensorFacts, Plain, Items]


@dataclass(frozen=True, slots=True)
class Argument:
    """A value under a name: a parameter of a call, a local variable, a module's setting or parameter."""

    name: str
    value: Value


def tensors_in(value: Value) -> tuple[TensorFacts, ...]:
    """All tensors of a value, in order."""
    if isinstance(value, TensorFacts):
        return (value,)
    if isinstance(value, Items):
        return tuple(t for item in value.items for t in tensors_in(item))
    return ()


# ── what happened ─────────────────────────────────────────────────────────────────────────────────────────────────────
Phase = Literal["", "data", "forward", "backward", "optimizer", "evaluation"]


@dataclass(frozen=True, slots=True)
class Write:
    """One tensor changed in place: its version counter afterwards (None: autograd did not see the write, as with `.data`)."""

    tensor: int
    storage: int | None
    version: int | None


@dataclass(frozen=True, slots=True)
class OpRecord:
    """One recorded call.

    `name` is the plain name: `linear`, `conv2d`, `add`, `getitem`, `setitem`; a trailing underscore marks an in-place op (`add_`, also for `+=`).
    Events that are no torch function: `optimizer.step` (writes = the parameters), `optimizer.zero_grad`, `backward` (arguments: `tensors`, the roots;
    `settings` as given: retain_graph, create_graph), `Function.apply`, `Parameter`, `from_numpy`, `set_grad_enabled`, `train`, `eval`, `batch` (a DataLoader gave one).
    `where` holds the calls in the program (nearest first): frames in torch itself are left out, frames in other packages are kept.
    `sequence` is autograd's own counter before and after the op (per thread): a graph node with start <= its number < end was made here.
    """

    index: int
    name: str
    qualname: str = ""
    where: tuple[Span, ...] = ()
    module: int | None = None
    """The id of the innermost module whose forward was running."""
    arguments: tuple[Argument, ...] = ()
    outputs: tuple[TensorFacts, ...] = ()
    writes: tuple[Write, ...] = ()
    sequence: tuple[int, int] | None = None
    thread: int = 0
    grad_enabled: bool = True
    inference_mode: bool = False
    autocast: str | None = None
    """The dtype of the autocast region it ran in, if any."""
    phase: Phase = ""
    step: int = 0
    raised: bool = False
    replayed: bool = False

    @property
    def span(self) -> Span | None:
        return self.where[0] if self.where else None

    @property
    def inputs(self) -> tuple[TensorFacts, ...]:
        return tuple(t for a in self.arguments for t in tensors_in(a.value))

    def argument(self, name: str) -> Value | None:
        return next((a.value for a in self.arguments if a.name == name), None)


@dataclass(frozen=True, slots=True)
class ModuleFacts:
    """A module: its path from the user's variable (`net.fc1`), where it was constructed and with which settings."""

    id: int
    fqn: str
    kind: str
    qualname: str = ""
    settings: tuple[Argument, ...] = ()
    """The constructor's arguments by parameter name, then simple attributes such as `in_features`."""
    passed: tuple[str, ...] = ()
    """Names of the parameters that the constructor call gave itself (the others are defaults)."""
    signature: tuple[str, ...] = ()
    """The constructor's parameters in order, without self: tells which position an argument has."""
    built: tuple[Span, ...] = ()
    """The constructor call, then the calls around it, nearest first; empty where it was not seen."""
    training: bool = True
    parameters: tuple[Argument, ...] = ()
    buffers: tuple[Argument, ...] = ()
    children: tuple[tuple[str, int], ...] = ()
    loose: tuple[Argument, ...] = ()
    """Tensors in its plain attributes, lists and dicts (`heads[0]`), of which torch knows nothing."""
    loose_children: tuple[tuple[str, int], ...] = ()
    """Modules kept so, and their ids."""
    defined: Span | None = None
    """The class statement, for classes of the program."""
    methods: tuple[str, ...] = ()
    """Methods that the program's own class defines."""
    copied_from: int | None = None

    def setting(self, name: str) -> Value | None:
        return next((a.value for a in self.settings if a.name == name), None)

    def number(self, name: str) -> int | None:
        value = self.setting(name)
        return value.value if isinstance(value, Plain) and isinstance(value.value, int) else None


@dataclass(frozen=True, slots=True)
class SavedTensor:
    """What a graph node keeps for backward. `expected` and `current` are version counters; they differ when it was overwritten."""

    name: str
    storage: int | None = None
    shape: tuple[int, ...] | None = None
    expected: int | None = None
    current: int | None = None
    freed: bool = False
    mismatch: bool = False


@dataclass(frozen=True, slots=True)
class GraphNode:
    """A node of the autograd graph that the failing backward walked."""

    id: int
    name: str
    sequence: int | None = None
    next: tuple[int, ...] = ()
    saved: tuple[SavedTensor, ...] = ()
    shapes: tuple[tuple[int, ...] | None, ...] = ()
    """Shapes of the node's forward outputs (its gradient inputs), where known."""
    leaf: int | None = None
    """For AccumulateGrad: the id of the tensor that receives the gradient."""
    depth: int = 0
    ran_in: tuple[int, ...] = ()
    """Indexes of the recorded `backward` events that ran through it."""


@dataclass(frozen=True, slots=True)
class LoaderFacts:
    """A DataLoader that took part."""

    id: int
    dataset: str
    length: int | None = None
    batch_size: int | None = None
    drop_last: bool | None = None
    shuffle: bool | None = None
    num_workers: int = 0
    start_method: str = ""
    """How its workers start: fork, spawn or forkserver."""
    collate: str = ""
    sampler: str = ""
    batches: int | None = None
    batch_number: int | None = None
    """0-based number of the batch that was asked for last."""
    indices: tuple[int, ...] | None = None
    """Dataset indices of that batch."""
    shapes: tuple[str, ...] = ()
    usual_shapes: tuple[str, ...] = ()
    """Shapes of that batch and of the first one, as text."""
    newest: bool = False
    """Of all loaders it gave a batch last."""
    built: tuple[Span, ...] = ()
    dataset_defined: Span | None = None


@dataclass(frozen=True, slots=True)
class SampleFacts:
    """One sample of the batch that a loader failed to give."""

    index: int | str | None = None
    """As the sampler gave it; None for an iterable dataset."""
    value: Value | None = None
    """What the dataset gave for it; None where it raised."""
    returned: tuple[Span, ...] = ()
    """The lines of the program that returned or yielded it, from the dataset inwards."""


@dataclass(frozen=True, slots=True)
class OptimizerFacts:
    id: int
    kind: str
    parameters: tuple[int, ...] = ()
    steps: int = 0
    built: tuple[Span, ...] = ()
