"""An assignment to an attribute that torch guards: a plain tensor in a parameter's place, a function in a layer's."""

from __future__ import annotations

import ast

from ..model import Confidence, Fix
from .edits import wrap
from .reading import Reading
from .told import Told
from .wording import code, first_fitting, place, tensor_text


def refused(run: Reading, what: str, member: str, given: str) -> Told:
    """`cannot assign 'torch.FloatTensor' as parameter 'weight'`: `what` is parameter, child module or buffer, `given` the type."""
    source, statement = run.sources.file(run.raised.file), run.sources.statement_at(run.raised.file, run.raised.line)
    value = statement.value if isinstance(statement, (ast.Assign, ast.AnnAssign, ast.AugAssign)) else None
    aim = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
    written = source.span(value) if source is not None and value is not None else None
    text = run.sources.segment(written) if written is not None else f"a {given}"
    target = code(source.segment(aim) if source is not None and isinstance(aim, ast.expr) else member)
    tensor = next((t for name, t in run.tensors if name == text), None)
    kind = given.rpartition(".")[2]
    if what == "parameter":
        headline = first_fitting(
            f"{target} is a parameter; {code(text)} is a plain tensor, no `nn.Parameter`", f"{target} is a parameter, it is given a {kind}"
        )
        wrapped = wrap(run.sources, written, "nn.Parameter(", ")") if written is not None and isinstance(statement, ast.Assign) else ()
        fixes: tuple[Fix, ...] = (
            Fix("wrap it in `nn.Parameter`", wrapped, "unsafe", changes="an optimizer that was built before does not train it"),
            Fix("or copy the values into it: `weight.copy_(...)` under `torch.no_grad()`", (), "display-only"),
        )
    else:
        headline = first_fitting(f"{target} is a {what}; {code(text)} is a {kind}", f"{target} is a {what}; it is given a {kind}")
        fixes = (Fix("give it another name, or keep that of the module free", (), "display-only"),)
    return Told(
        headline,
        run.raised,
        f"a {kind} in its place",
        (
            f"{code(text)} is {tensor_text(tensor)}" if tensor is not None else f"{code(text)} at {place(run.raised)} is a {kind}",
            f"{target} was registered before: only the same kind may take its place",
        ),
        fixes,
        confidence=Confidence.CERTAIN,
    )
