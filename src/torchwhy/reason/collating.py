"""A batch that could not be put together, in the words of a diagnosis: who collates, what the parts are called, where each was decided."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from ..model import Failure, Frame, Items, LoaderFacts, Span, TensorFacts
from . import edits
from .origins import origins
from .provenance import Decision, Size
from .reading import Cause, Reading
from .samples import (
    Clash,
    Part,
    Step,
    clash_of,
    key_written,
    loader_of,
    part_at,
    path_text,
    path_to,
    returns_in_class,
    sample_text,
    shape_of,
    written,
)
from .source import FUNCTIONS
from .structure import METHODS
from .wording import code, place, plural, shape_text

_FETCH, _COLLATE = "torch/utils/data/_utils/fetch.py", "torch/utils/data/_utils/collate.py"
_GIVING = (*METHODS[2:5], "__getitems__", "__next__")
_RESIZING = ("interpolate", "upsample", "grid_sample", "getitem", "narrow", "pad", "unfold", "slice", "resize_")
_CUTTING = ("getitem", "narrow", "slice")
_MANY = 16
_PICTURE_CHANNELS = {1, 2, 3, 4}


def collating_frame(failure: Failure) -> Frame | None:
    """The frame that puts the samples together: `default_collate`, or the program's own function that the loader calls for it."""
    fetched = False
    for frame in failure.frames:
        file, function = frame.span.file.replace("\\", "/"), frame.span.function.rpartition(".")[2]
        if file.endswith(_COLLATE):
            return frame
        if fetched and frame.origin == "user":
            return frame if function not in _GIVING else None
        fetched = file.endswith(_FETCH) and "collate_fn" in frame.code
    return None


def batch_of(run: Reading, frame: Frame) -> Batch:
    return Batch(run, frame, loader_of(run.evidence, run.failure), clash_of(run.evidence.samples))


@dataclass(frozen=True)
class Batch:
    """The batch that failed, with the words for its parts."""

    run: Reading
    frame: Frame
    loader: LoaderFacts | None
    clash: Clash | None

    @property
    def dataset(self) -> str:
        return self.loader.dataset if self.loader is not None else "the dataset"

    @property
    def collator(self) -> str:
        """Who puts the samples together."""
        return code(self.frame.span.function if self.is_own else "default_collate")

    @property
    def is_own(self) -> bool:
        """Whether the program's own function does."""
        return self.frame.origin == "user"

    def sample(self, part: Part) -> str:
        return sample_text(part, self.loader)

    def shape(self, part: Part) -> tuple[int, ...]:
        return shape_of(part.value) or ()

    def length(self, part: Part) -> int:
        return part.value.length if isinstance(part.value, Items) else 0

    def name(self, part: Part, path: Sequence[Step]) -> str:
        """The user's expression for a part of the sample; else the path to it."""
        text = self.expression(part, path)
        return text if text.isidentifier() else f"sample{path_text(path)}"

    def expression(self, part: Part, path: Sequence[Step]) -> str:
        """What the program's text has for a part of the sample."""
        found = written(self.run.sources, part.sample, path)
        return found.source.segment(found.node) if found is not None else ""

    # ── where it was decided ──────────────────────────────────────────────────────────────────────────────────────────
    def cause(self, part: Part, path: Sequence[Step]) -> Cause | None:
        """The expression that gave the part: behind plain names the one that they stand for; else the line that returned the sample."""
        returned = part.sample.returned
        found = written(self.run.sources, part.sample, path)
        if found is not None and path:
            chain = origins(self.run.sources, found.source.span(found.node), returned)
            deciding = next((n for n, o in enumerate(chain) if o.form != "name"), 0)
            return Cause(chain[deciding].span, chain[: deciding + 1]) if chain else Cause(found.source.span(found.node))
        if returned:
            return Cause(returned[-1])
        every = list(returns_in_class(self.run.sources, self.loader))
        return Cause(every[0][0].span(every[0][1])) if len(every) == 1 else None

    def loader_cause(self) -> Cause | None:
        """The call that built the loader."""
        return Cause(self.loader.built[0]) if self.loader is not None and self.loader.built else None

    def size_cause(self, clash: Clash) -> tuple[Cause | None, str]:
        """What decided that sizes differ: that no function pads them where they vary by nature, else the line that made the odd one so."""
        if self.is_own:
            return Cause(self.run.raised), "pads nothing: the sizes differ"
        text = f"{shape_text(self.shape(clash.odd))} in {self.sample(clash.odd)}"
        odd, usual = (self.decision(part, clash) for part in (clash.odd, clash.usual))
        if odd is not None and odd.op is not None and usual is not None and usual.op is not None:
            apart = odd.op.span is not None and usual.op.span is not None and odd.op.span.line != usual.op.span.line
            cut_short = odd.op.name in _CUTTING and self.is_exception(clash)  # there was no more: what it asks for is as ever
            if apart or odd.how == "op" and odd.op.name in _RESIZING and not cut_short and not self.is_ragged(clash):
                dim = self.differing(clash)[0]
                return self.run.cause(odd, self.shape(clash.odd)[dim]), text
        if self.is_ragged(clash) and self.loader is not None:
            return self.loader_cause(), "no collate_fn: default_collate stacks"
        return self.cause(clash.odd, clash.path), text

    def decision(self, part: Part, clash: Clash) -> Decision | None:
        """What decided the size in which the parts differ."""
        dims = self.differing(clash)
        return self.run.decided(part.value, Size(dims[0])) if dims and isinstance(part.value, TensorFacts) else None

    def differing(self, clash: Clash) -> tuple[int, ...]:
        """The dimensions in which the two parts differ; none where their number differs."""
        one, other = self.shape(clash.usual), self.shape(clash.odd)
        return tuple(n for n, (a, b) in enumerate(zip(one, other)) if a != b) if len(one) == len(other) else ()

    def is_ragged(self, clash: Clash) -> bool:
        """Whether the sizes vary by nature: one dimension alone, not the channels of a picture, and not one sample after many of one size."""
        dims = self.differing(clash)
        if len(dims) != 1 or not clash.parts or self.is_exception(clash):
            return False
        sizes = {self.shape(p)[dims[0]] for p in clash.parts if len(self.shape(p)) > dims[0]}
        channels = len(self.shape(clash.odd)) == 3 and dims[0] in (0, 2) and sizes <= _PICTURE_CHANNELS
        return not channels

    def is_exception(self, clash: Clash) -> bool:
        """Whether one sample alone parts from all the others of its batch and of the batches before."""
        others = [self.shape(part) for part in clash.parts if part.position != clash.odd.position]
        before = (self.loader.batch_number or 0) if self.loader is not None else 0
        return before * len(clash.parts) >= _MANY and set(others) == {self.shape(clash.usual)}

    def is_beside(self, clash: Clash) -> bool:
        """Whether the program's own function may well take samples that differ so: it reads them by key, or joins them there."""
        op = self.run.op.name if self.run.op is not None else ""
        return self.is_own and (clash.kind == "keys" or op in ("cat", "concat") and clash.kind == "size" and self.differing(clash) == (0,))

    def key_statement(self, clash: Clash) -> Span | None:
        return key_written(self.run.sources, clash.odd.sample, clash.key) or key_written(self.run.sources, clash.usual.sample, clash.key)

    def first_of(self, kind: str) -> tuple[Part | None, tuple[Step, ...]]:
        """The first sample's part of a kind, and the path to it."""
        samples = self.run.evidence.samples
        path = path_to(samples[0].value, kind) if samples else None
        return (part_at(samples, 0, path), path) if path is not None else (None, ())

    # ── sentences ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def whereabouts(self, clash: Clash) -> str:
        """Which batch of which loader, and which line gave the odd sample."""
        returned, text = clash.odd.sample.returned, self.expression(clash.odd, clash.path)
        where = f"{self.sample(clash.odd)} is given at {place(returned[-1])}" if returned else ""
        if where and (condition := self.condition(returned[-1])):
            where += f" ({condition})"
        if where and clash.path and not text.isidentifier() and text:
            where += f", where `sample{path_text(clash.path)}` is {code(text)}"
        loader = self.loader
        if loader is None or loader.batch_number is None:
            return where
        numbers = [str(p.sample.index) for p in clash.parts if p.sample.index is not None]
        some = f" of samples {', '.join(numbers[:6])}{', …' if len(numbers) > 6 else ''}" if numbers else ""
        built = f" of the loader built at {place(loader.built[0])}" if loader.built else ""
        batch = f"batch {loader.batch_number}{some}{built} failed"
        return f"{where}; {batch}" if where else batch

    def condition(self, span: Span) -> str:
        """Under which condition a line runs: `if len(frames) < 8`, `except OSError`."""
        source, statement = self.run.sources.file(span.file), self.run.sources.statement_at(span.file, span.line)
        inner: ast.AST | None = statement
        for outer in source.ancestors(statement) if source is not None and statement is not None else ():
            if isinstance(outer, ast.If) and source is not None and inner in (*outer.body, *outer.orelse):
                return f"{'where' if inner in outer.body else 'unless'} {code(source.segment(outer.test))}"
            if isinstance(outer, ast.ExceptHandler) and source is not None:
                return f"after {code(f'except {source.segment(outer.type)}' if outer.type is not None else 'except')}"
            if isinstance(outer, (*FUNCTIONS, ast.ClassDef)):
                return ""
            inner = outer
        return ""

    def origin_of(self, part: Part, path: Sequence[Step]) -> str:
        """Which line gave a part, and under which path."""
        text = self.expression(part, path)
        where = f"{self.sample(part)} of {code(self.dataset)} is given at {place(part.sample.returned[-1])}" if part.sample.returned else ""
        return f"{where}, with {code(text)} as `sample{path_text(path)}`" if where and text and path else where

    def spread(self, clash: Clash) -> str:
        """How many sizes the batch has."""
        shapes = [self.shape(p) for p in clash.parts]
        kinds = sorted(set(shapes))
        return (
            f"{plural(len(kinds), 'size')} among its {len(shapes)} samples: {', '.join(map(shape_text, kinds[:5]))}"
            if len(kinds) > 2
            else ""
        )

    def dropping_edits(self, what: str) -> edits.Edits:
        """The loader's call with a collate function that leaves such samples out."""
        if self.loader is None or not self.loader.built or self.is_own:
            return ()
        call = self.loader.built[0]
        text = f"lambda batch: default_collate([sample for sample in batch if sample is not {what}])"
        return edits.set_keyword(self.run.sources, call, "collate_fn", text)
