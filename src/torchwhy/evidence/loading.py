"""A failure while a loader put a batch together: which loader, which samples, and what a worker raised, looked at once more in a child."""

from __future__ import annotations

import dis
import linecache
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Literal

from torch.utils.data import DataLoader, Subset, dataloader

from ..model import Failure, LoaderFacts, SampleFacts, Span
from ..record.kinds import is_a, is_one_of, name_of, variables_of
from ..record.spans import origin, relative
from ..replay.child import can_fork, in_child
from ..replay.fetching import Way, fetch_again, fetch_in_worker
from ..replay.late import SECONDS
from .worker_text import caught, in_worker, read_traceback

if TYPE_CHECKING:
    from ..record.recorder import Recorder

_FETCH = "torch/utils/data/_utils/fetch.py"
_SAMPLES = 1024
_DEPTH = 4


@dataclass(frozen=True)
class Loading:
    """The batch that was asked for when the failure came, alive. `data`: what the dataset gave, where it gave all of it."""

    loader: int | None = None
    iterator: Any = None
    fetcher: Any = None
    indices: Any = None
    index: Any = None
    """The index whose sample could not be had."""
    data: Sequence[Any] = field(default=(), repr=False)

    @property
    def is_map_style(self) -> bool:
        return getattr(self.iterator, "_dataset_kind", None) == 0


def loading_of(levels: list[TracebackType], recorder: Recorder) -> Loading:
    """What the frames of a failure say of the loader that they run through."""
    found = Loading()
    for level in levels:
        local = variables_of(level.tb_frame)
        me = local.get("self")
        if is_a(me, dataloader._BaseDataLoaderIter):
            loader, indices = recorder.training.loaders.asked(me)
            found = replace(found, loader=loader, iterator=me, indices=indices)
        elif is_a(me, DataLoader) and found.iterator is None:
            found = replace(found, loader=recorder.training.loaders.identities.of(me))
        if level.tb_frame.f_code.co_filename.replace("\\", "/").endswith(_FETCH):
            found = _fetching(found, local)
        elif found.index is None and not found.data and me is not None and me is getattr(found.fetcher, "dataset", None):
            found = replace(found, index=_asked_for(level.tb_frame, found.indices))
    return found


def _fetching(found: Loading, local: dict[str, Any]) -> Loading:
    """`fetch`, and below Python 3.12 the comprehension in it."""
    if "possibly_batched_index" in local:
        data = local.get("data")
        whole = data if is_a(data, (list, tuple)) and getattr(local["self"], "auto_collation", False) else ()
        found = replace(found, fetcher=local["self"], indices=local["possibly_batched_index"], data=whole)
    return replace(found, index=local["idx"]) if "idx" in local and not found.data else found


def _asked_for(frame: FrameType, indices: Any) -> Any:
    """What `__getitem__` was asked for; from Python 3.12 on the comprehension in `fetch` forgets it when it raises."""
    code = frame.f_code
    if code.co_name != "__getitem__" or code.co_argcount < 2 or not is_one_of(type(indices), (list, tuple)):
        return None
    name = code.co_varnames[1]
    if any(step.opname.startswith("STORE") and step.argval == name for step in dis.get_instructions(code)):
        return None
    value = variables_of(frame).get(name)
    return value if any(value is index for index in indices) else None


def samples_of(loading: Loading, recorder: Recorder) -> tuple[SampleFacts, ...]:
    """The batch's samples as the dataset gave them; or the one that it could not give."""
    indices = loading.indices if is_one_of(type(loading.indices), (list, tuple)) else (loading.indices,)
    dataset = getattr(loading.fetcher, "dataset", None)
    if not loading.data:
        return (SampleFacts(_plain(_own_index(dataset, loading.index))),) if loading.index is not None else ()
    numbers = [*(_own_index(dataset, index) for index in indices), *[None] * len(loading.data)]
    pairs = list(zip(numbers, loading.data))[:_SAMPLES]
    return tuple(SampleFacts(_plain(index), recorder.describe(value, _DEPTH)) for index, value in pairs)


def _own_index(dataset: Any, index: Any) -> Any:
    """The index in the dataset below torch's own `Subset`."""
    while type(dataset) is Subset and type(index) is int and isinstance(dataset.indices, (list, tuple, range)):
        if not -len(dataset.indices) <= index < len(dataset.indices):
            break
        dataset, index = dataset.dataset, dataset.indices[index]
    return index


def with_returns(samples: tuple[SampleFacts, ...], given: Sequence[Way]) -> tuple[SampleFacts, ...]:
    """The samples with the lines that returned them, where these are as many; one more may be the collate function's."""
    if len(given) not in (len(samples), len(samples) + 1):
        return samples
    return tuple(replace(sample, returned=way) for sample, way in zip(samples, given))


def returns_of(loading: Loading) -> tuple[Way, ...]:
    """The lines that return the batch's samples, from a second fetch in a child."""
    if not (loading.data and loading.fetcher is not None and loading.is_map_style and can_fork()):
        return ()
    return in_child(lambda: fetch_again(loading.fetcher, loading.indices), SECONDS) or ()


def raised_elsewhere(failure: Failure) -> Failure:
    """The failure with the one that its text tells of as its cause: what a worker (or torch's pin-memory thread) raised."""
    told = caught(failure.message)
    inner = read_traceback(told.traceback, _origin, linecache.getline) if told is not None else None
    if told is None or inner is None:
        return failure
    frames = tuple(replace(f, span=replace(f.span, file=relative(f.span.file))) for f in inner.frames)
    outer = replace(failure, worker=told.worker)
    return replace(outer, caused_by=in_worker(replace(inner, frames=frames), outer))


def _origin(file: str) -> Literal["user", "library", "torch"]:
    found = origin(file)
    return "library" if found == "own" else found


def worker_piece(loading: Loading, worker: int, given: list[Way]) -> Callable[[], object] | None:
    """The worker's failing batch, to be fetched in this process; `given` receives the lines that returned its samples."""
    if loading.iterator is None or loading.indices is None or not can_fork():
        return None
    return lambda: fetch_in_worker(loading.iterator, loading.indices, worker, given)


def spans_of(samples: Sequence[SampleFacts], loaders: Sequence[LoaderFacts]) -> list[Span]:
    """The places whose files should be at hand."""
    spans = [span for sample in samples for span in sample.returned]
    return spans + [loader.dataset_defined for loader in loaders if loader.dataset_defined is not None]


def _plain(index: Any) -> int | str | None:
    if index is None or is_one_of(type(index), (int, str)):
        return index  # type: ignore[no-any-return]
    plain = type(index) is tuple and all(is_one_of(type(part), (int, str)) for part in index)
    return str(index) if plain or type(index) is bool else name_of(type(index))
