"""Recorded runs written by hand: tensors, ops and modules with as little as a question needs."""

from __future__ import annotations

from torchwhy.model import Argument, Evidence, Items, LoaderFacts, ModuleFacts, OpRecord, Plain, Span, TensorFacts, Value, ValueFacts


def tensor(number: int, *shape: int, dtype: str = "float32", kind: str = "Tensor", values: ValueFacts | None = None) -> TensorFacts:
    return TensorFacts(number, shape, dtype, "cpu", kind=kind, storage=number, values=values)


def integer(value: int) -> Plain:
    return Plain("int", str(value), value)


def op(
    index: int, name: str, inputs: tuple[TensorFacts, ...] = (), out: TensorFacts | None = None, line: int = 0, **more: object
) -> OpRecord:
    """An op on the line of `main.py` that has its number, unless told otherwise."""
    arguments: tuple[Argument, ...] = tuple(Argument("input" if i == 0 else f"other{i}", t) for i, t in enumerate(inputs))
    given = more.pop("arguments", ())
    where = (Span("main.py", line or index + 1),)
    fields = {"where": where, "outputs": (out,) if out is not None else (), **more}
    return OpRecord(index, name, arguments=(*arguments, *given), **fields)  # type: ignore[arg-type,misc]


def listed(index: int, name: str, inputs: tuple[TensorFacts, ...], out: TensorFacts | None = None, **more: Value) -> OpRecord:
    """An op that takes a list, such as `cat`."""
    arguments = (Argument("tensors", Items("list", len(inputs), inputs)), *(Argument(k, v) for k, v in more.items()))
    return OpRecord(index, name, where=(Span("main.py", index + 1),), arguments=arguments, outputs=(out,) if out is not None else ())


def linear(number: int, weight: TensorFacts, name: str, line: int) -> ModuleFacts:
    out, features = weight.shape or (0, 0)
    settings = (Argument("in_features", integer(features)), Argument("out_features", integer(out)))
    parameters = (Argument("weight", weight),)
    return ModuleFacts(number, name, "Linear", "torch.nn.Linear", settings, built=(Span("main.py", line),), parameters=parameters)


def run(*ops: OpRecord, modules: tuple[ModuleFacts, ...] = (), loaders: tuple[LoaderFacts, ...] = (), text: str = "") -> Evidence:
    return Evidence(ops=ops, modules=modules, loaders=loaders, sources=(("main.py", text),) if text else ())
