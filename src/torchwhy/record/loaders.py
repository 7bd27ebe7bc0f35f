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
from .modules import class_span
from .patches import Patches
from .rewriting import Silent
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
        for name, hook in (
            ("__init__", _Begun(self)),
            ("_reset", _Begun(self)),
            ("_next_index", _Drawn(self)),
            ("__next__", _Asked(self)),
        ):
            self.recorder.rewrite(patches, vars(owner)[name], hook)

    def begin(self, iterator: Any, loader: Any) -> None:
        """An iterator begins, anew or again."""
        number = self.identities.of(loader)
        batches = self.batches.setdefault(number, _Batches())
        batches.begin()
        batches.described = self._loader(number, loader)
        batches.dataset, batches.kind = _weak(loader.dataset), type(own_dataset(loader.dataset))
        self.batches[self.identities.of(iterator)] = batches

    def batch(self, batches: _Batches, batch: Any, frame: FrameType | None) -> None:
        """A batch has come."""
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


class _Begun(Silent):
    """The hook in the beginning of a loader's iterator."""

    def __init__(self, loaders: Loaders) -> None:
        self.loaders = loaders

    def enter(self, iterator: Any, loader: Any, *given: Any) -> None:
        self.loaders.recorder.guard(self.loaders.begin, iterator, loader)


class _Drawn(Silent):
    """The hook where the indices of a batch are drawn."""

    def __init__(self, loaders: Loaders) -> None:
        self.loaders = loaders
        self.now = loaders.recorder.tape.now

    def enter(self, iterator: Any) -> None:
        self.now.calls.append(self.loaders.batches.get(self.loaders.identities.of(iterator)))

    def leave(self, result: Any) -> Any:
        batches = self._end()
        if batches is not None:
            batches.pending.append(result)
            del batches.pending[:-64]
        return result

    def fail(self) -> None:
        self._end()

    def _end(self) -> Any:
        return self.now.calls.pop() if self.now.calls else None


class _Asked:
    """The hook where a batch is asked for."""

    def __init__(self, loaders: Loaders) -> None:
        self.loaders = loaders
        self.recorder = loaders.recorder

    def enter(self, iterator: Any) -> None:
        now = self.recorder.tape.now
        batches = self.loaders.batches.get(self.loaders.identities.of(iterator))
        now.calls.append((batches, now.phase))
        now.phase = "data"
        if batches is not None:
            batches.number += 1

    def leave(self, result: Any) -> Any:
        batches = self._end()
        if batches is not None:
            self.recorder.guard(self.loaders.batch, batches, result, sys._getframe(1).f_back)
        return result

    def fail(self) -> None:
        batches = self._end()
        if batches is not None and sys.exc_info()[0] is StopIteration:
            batches.number -= 1
        elif batches is not None:
            batches.take_indices()

    def _end(self) -> Any:
        now = self.recorder.tape.now
        if not now.calls:
            return None
        batches, now.phase = now.calls.pop()
        return batches


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
    if isinstance(thing, torch.Tensor):  # a tensor may have no weak reference: `torch.utils.swap_tensors` refuses it then
        return _nothing
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
