"""Edits that make a batch of what can't be stacked as it is: a `collate_fn` that pads or keeps a list, samples brought to one size."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from ..model import Fix, LoaderFacts, TensorFacts
from . import edits
from .definitions import define_before, free_name
from .reading import Reading
from .samples import Part, Step, written
from .scopes import value_of
from .siblings import given_elsewhere
from .signatures import called
from .wording import grouped


def other_loaders(run: Reading, loader: LoaderFacts | None) -> list[Fix]:
    """The `collate_fn` that another loader of the program has."""
    if loader is None or not loader.built:
        return []
    return list(given_elsewhere(run.sources, loader.built[0], "collate_fn"))[:1]


def padding(run: Reading, loader: LoaderFacts | None, sample: Part, path: Sequence[Step], dim: int, is_list: bool = False) -> edits.Edits:
    """A `collate_fn` that pads this part of the samples with zeros (and every other that differs in length)."""
    item = "torch.tensor(part)" if is_list else f"part.transpose(0, {dim})"
    items = f"[{item} for part in parts]" if is_list or dim else "list(parts)"
    joined = f"pad_sequence({items}, batch_first=True)" + (f".transpose(1, {dim + 1})" if dim else "")
    size = "len(part)" if is_list else "part.shape"
    test = "isinstance(parts[0], list)" if is_list else "isinstance(parts[0], torch.Tensor)"
    rows = [
        f"    if {test} and len({{{size} for part in parts}}) > 1:",
        f"        return {joined}",
        "    return default_collate(parts)",
    ]
    return _with_collate(run, loader, sample, path, "pad_batch", "padded", rows)


def listing(run: Reading, loader: LoaderFacts | None, sample: Part, path: Sequence[Step]) -> edits.Edits:
    """A `collate_fn` that keeps a list of this part of the samples."""
    if len(path) != 1:
        return ()
    step = path[0]
    if isinstance(step, str):
        rows = [
            f"    batch = default_collate([{{k: v for k, v in sample.items() if k != {step!r}}} for sample in samples])",
            f"    batch[{step!r}] = [sample[{step!r}] for sample in samples]",
            "    return batch",
        ]
    else:
        rows = [f"    return [list(part) if n == {step} else default_collate(part) for n, part in enumerate(zip(*samples))]"]
    return _added(run, loader, "list_batch", "def {name}(samples):\n" + "\n".join(rows))


def _with_collate(
    run: Reading, loader: LoaderFacts | None, sample: Part, path: Sequence[Step], name: str, inner: str, rows: Sequence[str]
) -> edits.Edits:
    """The function `inner` for one part of all samples, and one that applies it to each part."""
    whole = sample.sample.value
    if len(path) > 1 or whole is None:
        return ()
    if not path:
        body = f"    return {inner}(samples)"
    elif isinstance(path[0], str):
        body = f"    return {{key: {inner}([sample[key] for sample in samples]) for key in samples[0]}}"
    else:
        body = f"    return [{inner}(part) for part in zip(*samples)]"
    text = f"def {inner}(parts):\n" + "\n".join(rows) + f"\n\n\ndef {{name}}(samples):\n{body}"
    return _added(run, loader, name, text)


def _added(run: Reading, loader: LoaderFacts | None, name: str, text: str) -> edits.Edits:
    if loader is None or not loader.built:
        return ()
    call = loader.built[0]
    name = free_name(run.sources, call.file, name)
    passed = edits.set_keyword(run.sources, call, "collate_fn", name)
    defined = define_before(run.sources, call, text.replace("{name}", name))
    return (*defined, *passed) if passed and defined else ()


def resized(run: Reading, odd: Part, path: Sequence[Step], size: Sequence[int]) -> edits.Edits:
    """`F.interpolate(x[None], size=…)[0]` around the expression that gives this part of a sample: a picture of other height and width."""
    place, value = written(run.sources, odd.sample, path), odd.value
    if place is None or not isinstance(value, TensorFacts) or value.rank not in (2, 3) or len(size) != value.rank:
        return ()
    if value.rank == 3 and value.shape is not None and value.shape[0] != size[0]:
        return ()
    extra = "None" if value.rank == 3 else "None, None"
    height, width = size[-2:]
    index = "[0]" if value.rank == 3 else "[0, 0]"
    cast = "" if value.is_floating else ".float()"
    back = "" if value.is_floating else f".to(torch.{value.dtype})"
    span = place.source.span(place.node)
    if isinstance(place.node, ast.Name):  # where the name is given its value: other parts of the sample may be made from it
        span = value_of(run.sources, place.node.id, span.file, span.line) or span
    text = run.sources.segment(span)
    if "\n" in text:
        return ()
    new = f"torch.nn.functional.interpolate({grouped(text)}[{extra}]{cast}, size=({height}, {width})){index}{back}"
    return edits.replace_text(span, new)


_BY_METHOD = ("as_tensor", "to_tensor", "tensor", "as_array", "to_array", "numpy", "to_dict", "as_dict", "tolist")
_AS_TEXT = {"date": ".isoformat()", "datetime": ".isoformat()", "time": ".isoformat()"}


def converted(run: Reading, part: Part, path: Sequence[Step], kind: str) -> edits.Edits:
    """What a batch can take in the place of this part: what its class gives itself, a date's text, a path's."""
    place = written(run.sources, part.sample, path)
    if place is None or not isinstance(place.node, ast.expr):
        return ()
    span = place.source.span(place.node)
    if kind in _AS_TEXT:
        return edits.append_method(run.sources, span, _AS_TEXT[kind])
    if kind.endswith("Path") or kind in ("UUID", "Decimal"):
        return edits.wrap(run.sources, span, "float(" if kind == "Decimal" else "str(", ")")
    for source in run.sources.files():
        for cls in source.nodes:
            if isinstance(cls, ast.ClassDef) and cls.name == kind:
                own = {m.name for m in cls.body if isinstance(m, ast.FunctionDef) and len(m.args.args) - len(m.args.defaults) == 1}
                method = next((name for name in _BY_METHOD if name in own), "")
                return edits.append_method(run.sources, span, f".{method}()") if method else ()
    return ()


def padded_instead(run: Reading, dims: Sequence[int]) -> edits.Edits:
    """`pad_sequence(…)` for `torch.stack(…)`, and for `torch.tensor(…)` of lists, in the program's own function."""
    source, call = run.sources.file(run.raised.file), run.sources.call_at(run.raised)
    name = called(call) if call is not None else ""
    if source is None or call is None or len(call.args) < 1 or list(dims) != [0] or name not in ("stack", "tensor", "LongTensor"):
        return ()
    given = source.segment(call.args[0])
    if name == "stack":
        parts = given if isinstance(call.args[0], (ast.ListComp, ast.List)) else f"list({given})"
    else:
        more = "".join(f", {source.segment(a)}" for a in call.args[1:]) + "".join(
            f", {k.arg}={source.segment(k.value)}" for k in call.keywords
        )
        parts = f"[torch.tensor(part{more}) for part in {given}]"
    return edits.set_value(run.sources, source.span(call), f"pad_sequence({parts}, batch_first=True)") if "\n" not in parts else ()
