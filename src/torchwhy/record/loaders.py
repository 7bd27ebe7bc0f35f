"""Data loaders: which batch was asked for last, of which samples, and what shapes came."""

from __future__ import annotations

import multiprocessing
import sys
import weakref
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice
from types import FrameType, FunctionType
from typing import TYPE_CHECKING, Any

import torch

from ..model import LoaderFacts
from .facts import Identities
from .kinds import held_by, is_a, is_one_of, module_of, name_of
from .mode import hide
from .modules import class_span
from .patches import Patches
from .spans import Place, spans

if TYPE_CHECKING:
    from .recorder import Recorder

_GONE = 4
_COUNTED = (list, tuple, torch.Tensor, torch.utils.data.TensorDataset)


class Loaders:
    """The data loaders seen, by weak identity."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.identities = Identities()
        self.built: dict[int, tuple[Place, ...]] = {}
        self.batches: dict[int, _Batches] = {}
        self.newest: _Batches | None = None

    def constructed(self, loader: Any, places: tuple[Place, ...]) -> None:
        """Notes where a loader was built."""
        number = self.identities.of(loader)
        self.built[number] = places
        self.batches[number] = _Batches()

    def install(self, patches: Patches) -> None:
        """Sees each batch that a loader gives."""
        from torch.utils.data import dataloader

        owner = getattr(dataloader, "_BaseDataLoaderIter", None)
        if owner is None or not {"__next__", "_next_index", "_reset"} <= vars(owner).keys():
            self.recorder.problems.append("this torch has another DataLoader inside: batches are not recorded")
            return
        recorder, following, indexing, beginning, resetting = self.recorder, owner.__next__, owner._next_index, owner.__init__, owner._reset

        def __init__(iterator: Any, loader: Any, *args: Any, **kwargs: Any) -> None:
            try:
                number = self.identities.of(loader)
                batches = self.batches.setdefault(number, _Batches())
                batches.begin()
                batches.described = self._loader(number, loader)
                batches.dataset, batches.kind = _weak(loader.dataset), type(own_dataset(loader.dataset))
                self.batches[self.identities.of(iterator)] = batches
            except Exception as fault:
                recorder.fault("at a loader's start", fault)
            beginning(iterator, loader, *args, **kwargs)

        def _reset(iterator: Any, loader: Any, *args: Any, **kwargs: Any) -> None:
            batches = self.batches.get(self.identities.of(iterator))
            if batches is not None:
                batches.begin()
            resetting(iterator, loader, *args, **kwargs)

        def _next_index(iterator: Any) -> Any:
            index = indexing(iterator)
            batches = self.batches.get(self.identities.of(iterator))
            if batches is not None:
                batches.pending.append(index)
                del batches.pending[:-64]
            return index

        def __torchwhy__(iterator: Any) -> Any:
            now = recorder.tape.now
            before, now.phase = now.phase, "data"
            batches = self.batches.get(self.identities.of(iterator))
            if batches is not None:
                batches.number += 1
            try:
                batch = following(iterator)
            except StopIteration:
                if batches is not None:
                    batches.number -= 1
                raise
            except BaseException:
                if batches is not None:
                    batches.take_indices()
                raise
            finally:
                now.phase = before
            if batches is not None:
                recorder.guard(self._batch, batches, batch, sys._getframe(1))
            return batch

        for name, function in (("__init__", __init__), ("_reset", _reset), ("_next_index", _next_index), ("__next__", __torchwhy__)):
            function.__code__ = function.__code__.replace(co_name="__torchwhy__")
            hide(function)  # type: ignore[arg-type]
            patches.set(owner, name, function)

    def _batch(self, batches: _Batches, batch: Any, frame: FrameType | None) -> None:
        recorder = self.recorder
        shapes = tuple(_shapes(batch))
        batches.shapes = shapes
        self.newest = batches
        batches.usual = batches.usual or shapes
        batches.take_indices()
        new = shapes not in batches.seen
        if new and len(batches.seen) < 64:
            batches.seen.add(shapes)
            if not recorder.full:
                recorder.enter("shapes")
        if recorder.full:
            recorder.tape.mark("batch", frame, (batch,) if is_a(batch, (list, tuple, dict, torch.Tensor)) else ()).phase = "data"

    def asked(self, iterator: Any) -> tuple[int | None, Any]:
        """The loader that an iterator belongs to, and the indices of the batch that it was asked for last."""
        batches = self.batches.get(self.identities.of(iterator))
        if batches is None:
            return None, None
        return batches.described.id if batches.described is not None else None, batches.indices

    def facts(self) -> tuple[LoaderFacts, ...]:
        """The data loaders that live, and the last ones that do not: nothing keeps that of `for x in DataLoader(...)` once the loop has failed."""
        living = {n: t for n, t in self.identities.living() if is_a(t, torch.utils.data.DataLoader)}
        gone = [b for n, b in self.batches.items() if b.described is not None and b.described.id == n and n not in living][-_GONE:]
        found = []
        for number, loader in living.items():
            dataset = held_by(loader).get("dataset")
            defined = class_span(type(own_dataset(dataset)))
            found.append(replace(self._loader(number, loader), length=_length(dataset), dataset_defined=defined))
        for batches in reversed(gone):
            if batches.described is not None:
                length = batches.described.length if batches.described.length is not None else _length(batches.dataset())
                found.append(replace(batches.described, length=length, dataset_defined=class_span(batches.kind), **batches.facts()))
        return tuple(replace(f, batches=_per_epoch(f), newest=self.batches.get(f.id) is self.newest is not None) for f in found)

    def _loader(self, number: int, loader: Any) -> LoaderFacts:
        """Without asking the dataset for its length, unless that is torch's own: this runs in the middle of the program."""
        batches, state = self.batches.get(number, _Batches()), held_by(loader)
        dataset, sampler, collate = state.get("dataset"), state.get("sampler"), state.get("collate_fn")
        size = loader.batch_size if "_DataLoader__initialized" in state else None
        return LoaderFacts(
            id=number,
            dataset=name_of(type(own_dataset(dataset))),
            length=_length(dataset) if is_one_of(type(dataset), _COUNTED) else None,
            batch_size=size if isinstance(size, int) and size else None,
            drop_last=state.get("drop_last"),
            shuffle=name_of(type(sampler)) == "RandomSampler" if _is_torch(sampler) else None,
            num_workers=int(state.get("num_workers", 0)),
            start_method=_start_method(loader) if state.get("num_workers", 0) else "",
            collate=collate.__qualname__ if is_a(collate, FunctionType) else name_of(type(collate)),
            sampler=name_of(type(sampler)),
            built=spans(self.built.get(number, ())),
            batches=0 if state.get("_dataset_kind") == 0 and _is_torch(state.get("batch_sampler")) else None,
            **batches.facts(),
        )


def own_dataset(dataset: Any) -> Any:
    """The dataset below torch's own `Subset`."""
    while type(dataset) is torch.utils.data.Subset:
        dataset = dataset.dataset
    return dataset


def _start_method(loader: Any) -> str:
    """Without settling it: asked in the plain way, Python would take the default for the program's choice."""
    context = loader.multiprocessing_context or multiprocessing
    return str(context.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0])


def _per_epoch(facts: LoaderFacts) -> int | None:
    if facts.length is None or not facts.batch_size or facts.batches is None:
        return None
    return facts.length // facts.batch_size if facts.drop_last else -(-facts.length // facts.batch_size)


class _Batches:
    """What a loader gave so far."""

    def __init__(self) -> None:
        self.number = -1
        self.pending: list[Any] = []
        self.indices: Any = None
        self.shapes: tuple[str, ...] = ()
        self.usual: tuple[str, ...] = ()
        self.seen: set[tuple[str, ...]] = set()
        self.described: LoaderFacts | None = None
        self.dataset: Callable[[], Any] = _nothing
        self.kind: type = object

    def facts(self) -> dict[str, Any]:
        """What the loader's facts say of its newest batch."""
        drawn = self.indices if is_one_of(type(self.indices), (list, tuple)) else (self.indices,)
        indices = tuple(i for i in drawn if type(i) is int)
        return {
            "batch_number": self.number if self.number >= 0 else None,
            "indices": indices if self.indices is not None else None,
            "shapes": self.shapes,
            "usual_shapes": self.usual,
        }

    def begin(self) -> None:
        """A new epoch."""
        self.number, self.pending = -1, []

    def take_indices(self) -> None:
        """The batch asked for last is that of the oldest indices drawn (workers draw them ahead)."""
        if self.pending:
            self.indices = self.pending.pop(0)


def _nothing() -> None:
    return None


def _weak(thing: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(thing)
    except TypeError:  # lists and tuples
        return _nothing


def _is_torch(thing: Any) -> bool:
    return module_of(type(thing)).startswith("torch.")


def _length(dataset: Any) -> int | None:
    try:
        return len(dataset)
    except Exception:
        return None


def _shapes(batch: Any, depth: int = 3) -> Iterable[str]:
    if is_a(batch, torch.Tensor):
        yield f"{str(batch.dtype).removeprefix('torch.')} {list(batch.shape)}"
    elif depth and is_a(batch, (list, tuple)):
        builtin: Any = list if is_a(batch, list) else tuple
        for item in islice(builtin.__iter__(batch), 32):
            yield from _shapes(item, depth - 1)
    elif depth and is_a(batch, dict):
        for item in list(dict.values(batch))[:32]:
            yield from _shapes(item, depth - 1)
