"""The frozen data that every layer shares.

Everything here is plain: it can be written to JSON, read on another machine without torch and compared with `==`.
Nothing here imports torch or any other file of torchwhy.

Conventions: lines are 1-based, columns are 0-based character offsets, sizes are in elements unless a name ends in `_bytes`,
times are in seconds. A dtype is written as `float32`, a device as `cpu` or `cuda:0`, as PyTorch prints them without `torch.`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
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
    items: tuple["Value", ...] = ()
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


@dataclass(frozen=True, slots=True)
class Frame:
    """One level of the traceback. `locals` are described, never the live things."""

    span: Span
    origin: Literal["user", "library", "torch"] = "user"
    code: str = ""
    """The source line, stripped."""
    locals: tuple[Argument, ...] = ()
    module: int | None = None
    """`self`, where that is a module."""

    def local(self, name: str) -> Value | None:
        return next((a.value for a in self.locals if a.name == name), None)


@dataclass(frozen=True, slots=True)
class Operand:
    """An argument of the failing op: the op's parameter name, the user's own expression for it, the value."""

    parameter: str
    expression: str
    value: Value
    span: Span | None = None
    """The expression's place in the failing call, where the syntax tree shows exactly one."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the failing call's callee. `value` is what the call gave; None where it gave nothing, or the text does not show what."""

    name: str
    value: Value | None = None
    given: bool = False
    takes: str = ""
    """The declared type, such as `Tensor` or `Optional[int]`."""
    default: str | None = None
    also: str = ""
    """Another name of it: ATen's `self` is `input` in the documentation."""
    by_keyword: bool = False
    """It can't be passed by position."""
    of_constructor: bool = False
    """Of a layer's call: what the layer was built with."""


@dataclass(frozen=True, slots=True)
class Call:
    """The call into torch, made by the program's innermost line, that failed."""

    name: str
    kind: Literal["function", "method", "layer", "constructor"] = "function"
    parameters: tuple[Parameter, ...] = ()
    signature: str = ""
    """In one line, as the documentation or Python has it."""
    module: int | None = None
    """Of a layer's call: the layer."""


@dataclass(frozen=True, slots=True)
class Change:
    """The failing call made again on copies with one argument changed, and what came of it."""

    parameter: str
    what: Literal["device", "layout", "dtype", "rank", "size", "values", "grad", "value", "type", "left out"]
    instead: Value | None = None
    outcome: Literal["works", "other"] = "works"
    """works: it returned; other: it was refused for another reason."""
    says: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception that came out of the program. `caused_by` is the exception it was raised from or while handling."""

    error_type: str
    message: str
    error_module: str = "builtins"
    frames: tuple[Frame, ...] = ()
    """Outermost first, as in the traceback; none of torchwhy's own."""
    op: OpRecord | None = None
    """The recorded call that raised, if one did."""
    operands: tuple[Operand, ...] = ()
    module: int | None = None
    """The innermost module whose forward was running."""
    caused_by: "Failure | None" = None
    thread: str = "MainThread"
    worker: int | None = None
    """The DataLoader worker in which it was first raised."""
    loader: int | None = None
    """The loader that was asked for a batch, or built, when it was raised."""
    rank: int | None = None
    """The process of a distributed job in which it was raised, where that is known."""
    log_line: int | None = None
    """The line of the log on which its text begins."""

    @property
    def user_frames(self) -> tuple[Frame, ...]:
        return tuple(f for f in self.frames if f.origin == "user")

    @property
    def raised_at(self) -> Span | None:
        """The user's line that raised: the innermost frame of the program itself, else of another package."""
        for origin in ("user", "library", "torch"):
            spans = [f.span for f in self.frames if f.origin == origin]
            if spans:
                return spans[-1]
        return None

    def operand(self, parameter: str) -> Operand | None:
        return next((o for o in self.operands if o.parameter == parameter), None)


@dataclass(frozen=True, slots=True)
class Recording:
    """How much was seen: families say `possible` where what they need fell out."""

    mode: str = "adaptive"
    full: bool = True
    """Whether the recorder was in full when the failure came."""
    steps: int = 0
    dropped: int = 0
    replayed: bool = False
    """The failing call was run again, recorded, in a child process."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Environment:
    torchwhy: str = ""
    torch: str | None = None
    python: str = ""
    platform: str = ""
    devices: tuple[str, ...] = ()
    grad_enabled: bool = True
    cuda_available: bool = False


@dataclass(frozen=True, slots=True)
class Probe:
    """An answer to a dear question, gathered because a family asked for it by name."""

    name: str
    answer: str
    """JSON text."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of one failed run (or one log). Written to a file it is an incident."""

    failure: Failure | None = None
    ops: tuple[OpRecord, ...] = ()
    """In the order of `index`; a ring, so the oldest may be missing."""
    modules: tuple[ModuleFacts, ...] = ()
    graph: tuple[GraphNode, ...] = ()
    """Empty unless a backward failed. The first nodes are the roots (depth 0)."""
    loaders: tuple[LoaderFacts, ...] = ()
    optimizers: tuple[OptimizerFacts, ...] = ()
    samples: tuple[SampleFacts, ...] = ()
    """Where a loader failed: the samples of that batch, or the one that the dataset could not give."""
    names: tuple[tuple[int, str], ...] = ()
    """Tensor id and the name the user has for it: `net.fc1.weight`, or a variable of the failing frame."""
    sources: tuple[tuple[str, str], ...] = ()
    """Text of every file of the program that a span here names (except files above 2 MB)."""
    environment: Environment = Environment()
    recording: Recording = Recording()
    probes: tuple[Probe, ...] = ()
    call: Call | None = None
    """The call into torch that failed, where the program's innermost line made one."""
    tried: tuple[Change, ...] | None = None
    """What single changes of its arguments do; None where that was not tried, or the copies did not fail in the same way."""
    from_text: bool = False
    """Read from a printed text: no ops, no modules, no values."""
    context: tuple[str, ...] = ()
    """Of a text: the lines around the failure that are no part of its traceback."""
    others: tuple[Failure, ...] = ()
    """Of a text, or of several processes: failures that are neither this one nor its consequences."""
    consequences: tuple[str, ...] = ()
    """What failed because this one did, one line each."""
    problems: tuple[str, ...] = ()

    def source(self, file: str) -> str | None:
        return next((text for name, text in self.sources if name == file), None)


# ── what is said of it ────────────────────────────────────────────────────────────────────────────────────────────────
class Confidence(str, Enum):
    """CERTAIN: the evidence entails it. LIKELY: it fits all the evidence and no other family spoke. POSSIBLE: something needed was not recorded."""

    CERTAIN = "certain"
    LIKELY = "likely"
    POSSIBLE = "possible"


@dataclass(frozen=True, slots=True)
class Label:
    """A place with a word about it, such as `float32 [32, 3136]`."""

    span: Span
    text: str = ""


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the text of `span` in its file by `text`. An empty span inserts; an empty text deletes."""

    span: Span
    text: str


Applicability = Literal["safe", "unsafe", "display-only"]
"""safe: the meaning is what the user wants in all likelihood; unsafe: it changes results or weights, look first; display-only: not a patch that can be applied."""


@dataclass(frozen=True, slots=True)
class Verification:
    outcome: Literal["gone", "same", "other", "timed-out", "not-run"] = "not-run"
    by: Literal["run", "simulation"] | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Fix:
    """A proposed change. `hides` names the symptom it only hides; `changes` says what else it alters (weights, results, memory)."""

    title: str
    edits: tuple[Edit, ...] = ()
    applicability: Applicability = "unsafe"
    hides: str = ""
    changes: str = ""
    diff: str = ""
    verification: Verification = Verification()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Cause and symptom are two things: `cause` is the line to blame, the last label of `trail` is where it was raised."""

    code: str
    family: str
    title: str
    headline: str
    cause: Label
    trail: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    fixes: tuple[Fix, ...] = ()
    confidence: Confidence = Confidence.LIKELY


Outcome = Literal["passed", "failed", "findings", "not-torch"]


@dataclass(frozen=True, slots=True)
class Timing:
    program_s: float = 0.0
    diagnosis_s: float = 0.0
    verification_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """What the renderers get, and what the report file holds (`torchwhy.report/1`)."""

    command: str
    outcome: Outcome
    exit_code: int | None = None
    evidence: Evidence = field(default_factory=Evidence)
    diagnoses: tuple[Diagnosis, ...] = ()
    timing: Timing = Timing()
    problems: tuple[str, ...] = ()
    memory: tuple[tuple[str, float], ...] = ()
    """Of an out-of-memory failure: what the allocator said, in bytes."""
    remarks: tuple[str, ...] = ()
    """Sentences about the whole: what an error is that PyTorch did not raise, which process failed first."""
