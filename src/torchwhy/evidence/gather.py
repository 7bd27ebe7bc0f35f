"""The evidence of one failure, gathered once while the frames and the graph are still alive."""

from __future__ import annotations

import platform
import sys
import tokenize
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING

import torch

from ..model import Environment, Evidence, Failure, Frame, Operand, OpRecord, Span
from ..record.kinds import held_by, is_a, message_of, module_of, name_of
from ..record.spans import origin, relative
from ..record.traceback import strip_traceback
from ..replay.late import Replayed, replay, replay_text
from .frames import frames_of, walk
from .graph import graph_of, roots_of
from .loading import Loading, loading_of, raised_elsewhere, returns_of, samples_of, spans_of, with_returns, worker_piece
from .names import module_roots, tensor_names
from .pickling import unpicklable
from .refused import Refused
from .trying import call_facts
from .worker_text import in_worker

if TYPE_CHECKING:
    from ..record.recorder import Recorder

_SOURCE_LIMIT = 2_000_000
_FILES = 400


def gather(error: BaseException, recorder: "Recorder", refused: Refused | None = None) -> Evidence:
    """Everything that is known of the failure, as plain data. Leaves the recorder stopped. `refused`: the live call, where one was kept."""
    seen = recorder.summary()
    recorder.stop()
    levels = walk(strip_traceback(error.__traceback__))
    every_level = [level for e in _chain(error) for level in walk(strip_traceback(e.__traceback__))]
    modules = recorder.module_facts(module_roots(every_level))
    loading = loading_of(levels, recorder)
    failure = replace(raised_elsewhere(_failure(error, recorder, levels)), loader=loading.loader)
    ops = recorder.history()
    graph = graph_of(roots_of(levels), recorder)
    names = tensor_names(every_level, modules, recorder)
    samples = samples_of(loading, recorder)
    again: Replayed | None = None
    if failure.worker is not None and failure.caused_by is not None and seen.mode != "off":
        again = _again_in_worker(failure.caused_by, failure.worker, loading, recorder, every_level)
        if again is not None and again.failure is not None:
            failure = replace(failure, caused_by=in_worker(again.failure, failure))
    elif failure.op is None and not seen.full and seen.mode != "off" and levels and _may_be_torchs(error):
        again = replay(error, levels, recorder, lambda e: _look(e, recorder, every_level))
        if again is not None and again.failure is not None:
            frames = _as_replayed(failure.frames, again.failure.frames)
            again = _as_called(again, failure.user_frames, again.failure.user_frames)
            failure = replace(failure, op=again.op, operands=operands_of(again.op), frames=frames)
    if again is not None:
        ops, graph, modules, seen = again.ops, again.graph or graph, again.modules or modules, replace(seen, replayed=True)
        names = tuple({**dict(names), **dict(again.names)}.items())
        samples = again.samples or samples
    samples = with_returns(samples, returns_of(loading)) if loading.data else samples
    loaders, optimizers = recorder.loaders(), recorder.optimizers()
    spans: list[Span] = [span for op in ops for span in op.where]
    spans += [span for module in modules for span in (*module.built, *((module.defined,) if module.defined else ()))]
    spans += [frame.span for f in _failures(failure) for frame in f.frames]
    spans += [span for loader in loaders for span in loader.built] + [span for optimizer in optimizers for span in optimizer.built]
    spans += spans_of(samples, loaders)
    return Evidence(
        failure=failure,
        ops=ops,
        modules=modules,
        graph=graph,
        loaders=loaders,
        optimizers=optimizers,
        samples=samples,
        names=names,
        sources=read_sources((*(span.file for span in spans), *own_files())),
        environment=environment(),
        recording=seen,
        probes=unpicklable(error, loading, levels),
        call=call_facts(refused, recorder) if refused is not None else None,
        problems=tuple(recorder.problems),
    )


def _look(error: BaseException, recorder: "Recorder", outer: list[TracebackType]) -> Replayed:
    levels = walk(strip_traceback(error.__traceback__))
    modules = recorder.module_facts(module_roots([*outer, *levels]))
    names = tensor_names([*outer, *levels], modules, recorder)
    samples = samples_of(loading_of(levels, recorder), recorder)
    failure = _failure(error, recorder, levels)
    return Replayed(recorder.history(), failure.op, graph_of(roots_of(levels), recorder), modules, names, samples, failure)


def _as_replayed(first: tuple[Frame, ...], again: tuple[Frame, ...]) -> tuple[Frame, ...]:
    """The first run's frames; the innermost, as far as both runs agree on the lines, with the second's variables: its tensors are those of the ops."""
    merged = list(first)
    for back, (one, other) in enumerate(zip(reversed(first), reversed(again)), 1):
        if (one.span.file, one.span.line) != (other.span.file, other.span.line):
            break
        merged[-back] = replace(one, locals=other.locals, module=other.module or one.module)
    return tuple(merged)


def _as_called(again: Replayed, first: tuple[Frame, ...], frames: tuple[Frame, ...]) -> Replayed:
    """What was run again out of its function, with the function's name and the calls that had led to it in the first run."""
    top = frames[0].span if frames else None
    depth = next((n for n, f in enumerate(first) if top is not None and (f.span.file, f.span.line) == (top.file, top.line)), None)
    if top is None or depth is None:
        return again
    inside, above = first[depth].span.function, tuple(frame.span for frame in reversed(first[:depth]))

    def called(op: OpRecord) -> OpRecord:
        again_at = [n for n, span in enumerate(op.where) if (span.file, span.function) == (top.file, top.function)]
        if not op.replayed or not again_at:
            return op
        last = again_at[-1]  # behind it: who ran the piece again
        return replace(op, where=(*op.where[:last], replace(op.where[last], function=inside), *above))

    op = called(again.op) if again.op is not None else None
    return replace(again, ops=tuple(called(op) for op in again.ops), op=op)


def _again_in_worker(told: Failure, worker: int, loading: Loading, recorder: "Recorder", outer: list[TracebackType]) -> Replayed | None:
    given: list[tuple[Span, ...]] = []
    piece = worker_piece(loading, worker, given)

    def look(error: BaseException) -> Replayed:
        seen = _look(error, recorder, outer)
        return replace(seen, samples=with_returns(seen.samples, given))

    return replay_text(piece, told, recorder, look) if piece is not None else None


def _may_be_torchs(error: BaseException) -> bool:
    """Whether a second look is worth it: torch raised, or Python did on something that torch gave (a KeyError is the program's own matter)."""
    return not is_a(error, (KeyError, FileNotFoundError, ZeroDivisionError, NameError, ImportError))


def _chain(error: BaseException) -> list[BaseException]:
    """The exception and those it was raised from, outermost first; one that came again when torch tried in another way counts once."""
    found: list[BaseException] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen and len(seen) < 32:
        seen.add(id(current))
        again = found and type(current) is type(found[-1]) and message_of(current) == message_of(found[-1])
        found += [] if again else [current]
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return found


def _failures(failure: Failure | None) -> Iterable[Failure]:
    while failure is not None:
        yield failure
        failure = failure.caused_by


def _failure(error: BaseException, recorder: "Recorder", levels: list[TracebackType]) -> Failure:
    cause: Failure | None = None
    for inner in reversed(_chain(error)[1:]):
        cause = _one_failure(inner, recorder, walk(strip_traceback(inner.__traceback__)), cause)
    return _one_failure(error, recorder, levels, cause)


def _one_failure(error: BaseException, recorder: "Recorder", levels: list[TracebackType], cause: Failure | None) -> Failure:
    frames = frames_of(levels, recorder)
    op = recorder.failing(error)
    return Failure(
        error_type=name_of(type(error)),
        message=message_of(error),
        error_module=module_of(type(error)),
        frames=frames,
        op=op,
        operands=operands_of(op),
        module=next((f.module for f in reversed(frames) if f.module is not None), None),
        caused_by=cause,
    )


def operands_of(op: OpRecord | None) -> tuple[Operand, ...]:
    """The op's arguments; the user's expressions for them are found later, from the source."""
    return tuple(Operand(a.name, "", a.value) for a in op.arguments) if op is not None else ()


def own_files() -> tuple[str, ...]:
    """The files of the program that are loaded: settings often stand in one that no recorded call names."""
    files = (held_by(module).get("__file__") for module in list(sys.modules.values()) if is_a(module, ModuleType))
    own = (relative(file) for file in files if type(file) is str and file.endswith(".py") and origin(file) == "user")
    return tuple(dict.fromkeys(own))[:_FILES]


def read_sources(files: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """The text of each file that can be read, once."""
    found: dict[str, str] = {}
    for file in files:
        if file in found or file.startswith("<"):
            continue
        try:
            if Path(file).stat().st_size <= _SOURCE_LIMIT:
                with tokenize.open(file) as stream:
                    found[file] = stream.read()
        except (OSError, SyntaxError, UnicodeDecodeError):  # gone, unreadable or not text: the spans stand without it
            continue
    return tuple(found.items())


def environment() -> Environment:
    from .. import __version__

    cuda = torch.cuda.is_available()
    devices = ["cpu"] + ([torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if cuda else [])
    return Environment(
        torchwhy=__version__,
        torch=str(torch.__version__),
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}" if sys.platform != "win32" else platform.platform(),
        devices=tuple(devices),
        grad_enabled=torch.is_grad_enabled(),
        cuda_available=cuda,
    )


__all__ = ["environment", "gather", "operands_of", "read_sources"]
