"""What is known of a failure: frames, operands, the failure itself, and the evidence that holds it all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .cutting import MESSAGE, shortened
from .facts import Argument, GraphNode, LoaderFacts, ModuleFacts, OpRecord, OptimizerFacts, SampleFacts, Span, Value


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
    process: str = ""
    """The name of another process in which it was raised, one that the program started."""
    log_line: int | None = None
    """The line of the log on which its text begins."""

    def __post_init__(self) -> None:
        """Cut what is too long to be read: here, so that it holds for every door that a failure comes in by."""
        if len(self.message) > MESSAGE:
            object.__setattr__(self, "message", shortened(self.message, MESSAGE))

    def __hash__(self) -> int:
        """Of little: what is remembered for a failure is asked for often, and all of it holds much."""
        return hash((self.error_type, self.message, self.thread, self.process, len(self.frames)))

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

    @property
    def began(self) -> "Failure":
        """What another process raised, if the failure came out of one; else the failure itself."""
        one: Failure | None = self
        while one is not None and not one.process:
            one = one.caused_by
        return one or self

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
    peers: tuple[Failure, ...] = ()
    """Of several processes: what the others raised, consequences too."""
    consequences: tuple[str, ...] = ()
    """What failed because this one did, one line each."""
    problems: tuple[str, ...] = ()

    def __hash__(self) -> int:
        """Of little, as of a failure: thousands of ops and modules would be gone through at each question."""
        return hash((self.failure, len(self.ops), len(self.modules), len(self.sources), self.from_text))

    def source(self, file: str) -> str | None:
        return next((text for name, text in self.sources if name == file), None)
