"""A custom autograd Function breaks the agreement between its `forward` and its `backward`.

Erroneous code (TW0412):

```python
{example}
```

Why: `forward(ctx, a, b)` and `backward(ctx, grad)` are static methods, called through `.apply`. `backward` gets one
gradient for each output of `forward` and returns one for each input, in order: a tensor of the input's shape, or None
for what needs none (numbers, flags, indices). Tensors for the backward go through `ctx.save_for_backward(...)`; other
values are kept as attributes of `ctx`.

Fix: return as many gradients as `forward` has inputs, each of its input's shape; sum a gradient over the dimensions
that were broadcast.

Messages: `function XBackward returned an incorrect number of gradients (expected 2, got 1)`; `Function XBackward
returned an invalid gradient at index 0 - got [4] but expected shape compatible with [4, 3]`; `save_for_backward can
only save variables`; `Legacy autograd function with non-static forward method is deprecated`; `backward() takes 2
positional arguments but 3 were given`; `expected Variable or None (got float)`; `XBackward object has no attribute`.

Not to be confused with: `autograd.inplace-saved`, where a saved tensor was overwritten.
"""

from __future__ import annotations

import ast
import json
import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix
from ...reason.edits import insert_after, replace_text
from ...reason.function_edits import made_static, set_in_forward, shaped, takes_all, trimmed
from ...reason.functions import CustomFunction, custom_function
from ...reason.links import made_at
from ...reason.reading import Reading, reading
from ...reason.told import text_at
from ...reason.wording import code, first_fitting, listed, place, plural

Said = dict[str, str]
_WHERE = "torch/autograd/function.py"
_TAKES = r"(?P<arguments>takes \d+ positional arguments? but \d+ (?:was|were) given|missing \d+ required positional arguments?.*)"


class CustomAutogradFunction(Family):
    code = "TW0412"
    title = "a custom autograd Function whose forward and backward don't agree"
    triggers = (
        Trigger(r"unction (?P<name>\w+)Backward returned an incorrect number of gradients \(expected (?P<count>\d+), got (?P<got>\d+)\)"),
        Trigger(r"Function (?P<name>\w+)Backward returned an invalid gradient at index (?P<invalid>\d+) - (?P<why>.+)"),
        Trigger(r"function (?P<name>\w+)Backward returned a gradient different than None at position (?P<not_none>\d+)"),
        Trigger(r"save_for_backward can only save variables, but argument (?P<saved>\d+) is of type (?P<type>\w+)"),
        Trigger(r"(?P<legacy>Legacy autograd function) with non-static forward"),
        Trigger(r"(?P<missing>You must implement) (?:either )?the (?P<method>backward|forward)"),
        Trigger(r"expected Variable or None \(got (?P<no_tensor>[\w.]+)\)"),
        Trigger(_TAKES, ("TypeError",), _WHERE),
        Trigger(r"'(?P<name>\w+)Backward' object has no attribute '(?P<attribute>\w+)'", ("AttributeError",)),
        Trigger(r"(?P<unpacked>tuple index out of range|(?:not enough|too many) values to unpack)", ("IndexError", "ValueError")),
        Trigger(r"(?P<setup>In order to use an autograd\.Function with functorch transforms)"),
    )
    rank = 2

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run, said = reading(evidence), {k: v for k, v in match.groupdict().items() if v is not None}
        if "unpacked" in said and "saved_tensors" not in run.sources.line_text(run.raised.file, run.raised.line):
            return None
        function = custom_function(run, said.get("name", ""))
        answers = ("count", "invalid", "not_none", "saved", "legacy", "missing", "no_tensor", "arguments", "attribute", "unpacked", "setup")
        kind = next((key for key in answers if key in said), "")
        if function is None:
            return self._without_text(run, said, kind)
        return getattr(self, f"_{kind}")(run, said, function) if kind else None  # type: ignore[no-any-return]

    def _without_text(self, run: Reading, said: Said, kind: str) -> Diagnosis | None:
        """The class is not in the program's files (or there is only a log): what the message tells."""
        if kind in ("arguments", "attribute", "unpacked"):
            return None
        name = code(said["name"]) if "name" in said else "a custom autograd Function"
        told = {
            "count": f"its `backward` returns {said.get('got')} gradients for {said.get('count')} inputs",
            "invalid": f"its `backward` returns a gradient that doesn't fit input {said.get('invalid')}",
            "saved": f"`save_for_backward` gets a {said.get('type')}, it takes tensors",
            "legacy": "it is called as an object, not through `.apply`",
            "missing": f"it has no {code(said.get('method', 'backward'))}",
        }.get(kind, "its forward and backward don't agree")
        return run.diagnosis(self, f"{name}: {told}", None, notes=[said.get("why", "")])

    def _count(self, run: Reading, said: Said, function: CustomFunction) -> Diagnosis:
        want, got, inputs = int(said["count"]), int(said["got"]), function.inputs
        span = function.whole_return()
        text = run.sources.segment(span) if span is not None else ""
        bare = text[1:-1].rstrip().rstrip(",") if text.startswith("(") and len(function.returned()) == got != 1 else text
        more = replace_text(span, ", ".join([bare, *["None"] * (want - got)])) if span is not None and got < want else ()
        edits = more or trimmed(function, want)
        names = f": {listed([code(n) for n in inputs])}" if len(inputs) == want else ""
        title = "return one for each input, `None` where none is needed" if more else f"return {plural(want, 'gradient')}"
        return run.diagnosis(
            self,
            f"{code(function.name + '.backward')} returns {plural(got, 'gradient')} for {plural(want, 'input')} of `forward`",
            span,
            f"{got} of {want}",
            notes=[
                f"`forward` at {place(function.header('forward'))} takes {plural(want, 'input')}{names}",
                f"{code('return ' + text)} gives {got}; an input without a gradient gets None",
            ],
            fixes=[Fix(title, edits, "unsafe")],
            confidence=Confidence.CERTAIN,
        )

    def _invalid(self, run: Reading, said: Said, function: CustomFunction) -> Diagnosis:
        index, inputs, parts = int(said["invalid"]), function.inputs, function.returned()
        name = inputs[index] if index < len(inputs) else f"input {index}"
        sizes = re.search(r"got (\[[^\]]{0,400}\]) but expected shape compatible with (\[[^\]]{0,400}\])", said["why"])
        told = (
            f"the gradient of {code(name)} is {sizes[1]}, {code(name)} is {sizes[2]}"
            if sizes
            else f"the gradient of {code(name)} doesn't fit"
        )
        part = function.source.span(parts[index]) if index < len(parts) else function.whole_return()
        cause = made_at(run, part) if part is not None else None
        decided = run.sources.segment(cause) if cause is not None else ""
        edits = shaped(run, function, index, cause, *(json.loads(text) for text in sizes.groups())) if sizes else ()
        return run.diagnosis(
            self,
            first_fitting(f"in {code(function.name + '.backward')} {told}", told),
            cause,
            f"{sizes[1]} from here on" if sizes else "the gradient returned",
            notes=[
                f"{code(function.name + '.backward')} returns {code(run.sources.segment(part))} at index {index}"
                if part is not None
                else "",
                f"it is decided by {code(decided)} at {place(cause)}" if cause is not None and cause != part else "",
                "a gradient has the shape of its input" + ("; a sum over it loses that" if ".sum(" in decided else ""),
                "" if sizes else said["why"],
            ],
            fixes=[Fix(f"return a gradient of the shape of {code(name)}" + (f", {sizes[2]}" if sizes else ""), edits)],
        )

    def _not_none(self, run: Reading, said: Said, function: CustomFunction) -> Diagnosis:
        index, inputs, parts = int(said["not_none"]) - 1, function.inputs, function.returned()
        name = inputs[index] if index < len(inputs) else f"input {index}"
        span = function.source.span(parts[index]) if index < len(parts) else None
        return run.diagnosis(
            self,
            f"{code(function.name + '.backward')} returns a gradient for {code(name)}, which is no tensor",
            span,
            "must be None",
            notes=[f"{code(name)} was given to `apply` as a plain value"],
            fixes=[Fix(f"return None for {code(name)}", replace_text(span, "None") if span is not None else (), "safe")],
        )

    def _saved(self, run: Reading, said: Said, function: CustomFunction) -> Diagnosis:
        index, source = int(said["saved"]), function.source
        call = next((c for c in function.saves if index < len(c.args)), None)
        if call is None:
            return run.diagnosis(self, f"`save_for_backward` gets a {said['type']} at position {index}; it takes tensors", None)
        text, span = source.segment(call.args[index]), source.span(call)
        rest = ", ".join(source.segment(a) for a in call.args if a is not call.args[index])
        attribute = text if text.isidentifier() else "kept"
        shorter = re.sub(r"\(.{0,400}\)$", f"({rest})", source.segment(call), flags=re.DOTALL)
        edits = (*replace_text(span, shorter), *insert_after(run.sources, span.file, span.line, f"ctx.{attribute} = {text}"))
        return run.diagnosis(
            self,
            first_fitting(
                f"`save_for_backward` takes tensors, {code(text)} is {said['type']}", f"`save_for_backward` gets a {said['type']}"
            ),
            source.span(call.args[index]),
            f"a {said['type']}",
            notes=[f"{code(function.name + '.forward')} saves it at {place(span)}; plain values are kept as attributes of `ctx`"],
            fixes=[Fix(f"keep it as {code('ctx.' + attribute)}, and read it there", edits, changes="what `ctx.saved_tensors` holds")],
            confidence=Confidence.CERTAIN,
        )

    def _legacy(self, run: Reading, said: Said, function: CustomFunction) -> Diagnosis:
        methods = [m for m in (function.method("forward"), function.method("backward")) if m is not None and not m.decorator_list]
        old = f"{code(function.name)} has `forward` as an ordinary method, not a static one"
        return run.diagnosis(
            self,
            old if methods else f"{code(function.name)} is called as an object, not through `.apply`",
            function.header("forward") if methods else run.raised,
            "not static" if methods else "no `.apply`",
            notes=[
                f"{code(text_at(run, run.raised))} at {place(run.raised)} calls {code(function.name)} as an object",
                *[f"{code(m.name)} at {place(function.header(m.name))} is no `@staticmethod` with `ctx` first" for m in methods],
            ],
            fixes=[
                Fix(
                    f"{'make its methods static and ' if methods else ''}call {code(function.name + '.apply(…)')}",
                    made_static(run, function),
                    "safe",
                )
            ],
            confidence=Confidence.CERTAIN,
        )

    def _missing(self, run: Reading, said: Said, function: CustomFunction) -> Diagnosis:
        method = said["method"]
        has = [n.name for n in function.cls.body if isinstance(n, ast.FunctionDef)]
        return run.diagnosis(
            self,
            f"{code(function.name)} has no {code(method)}",
            function.header(),
            f"no {method}",
            notes=[f"autograd reached {code(function.name)}, which defines {listed([code(n) for n in has]) or 'nothing'}"],
            fixes=[Fix(f"define a static {code(f'{method}(ctx, …)')} in {code(function.name)}", (), "display-only")],
        )

    def _no_tensor(self, run: Reading, said: Said, function: CustomFunction) -> Diagnosis:
        return run.diagnosis(
            self,
            f"{code(function.name + '.backward')} returns a {said['no_tensor']} where a tensor or None is due",
            function.whole_return(),
            f"a {said['no_tensor']}",
            notes=["each gradient that `backward` returns must be a tensor or None"],
            fixes=[Fix("return a tensor, or None where no gradient is needed", (), "display-only")],
        )

    def _arguments(self, run: Reading, said: Said, function: CustomFunction) -> Diagnosis:
        """`apply` gets other arguments than `forward` takes; or `backward` does not take one gradient for each output."""
        of_backward = any(f.span.function.startswith("BackwardCFunction") or f.span.function == "backward" for f in run.failure.frames[1:])
        method, outputs = "backward" if of_backward else "forward", function.returned("forward")
        count = f"`ctx` and {plural(len(outputs), 'gradient')}"
        return run.diagnosis(
            self,
            first_fitting(
                f"{code(function.name + '.' + method)} {said['arguments']}", f"{code(function.name + '.' + method)} gets other arguments"
            ),
            function.header(method) if of_backward else run.raised,
            "its parameters" if of_backward else "its arguments",
            notes=[
                f"`forward` returns {plural(len(outputs), 'output')}, so `backward` gets {count}"
                if of_backward
                else f"{code(text_at(run, run.raised))}; `forward` at {place(function.header('forward'))} takes "
                + f"{listed([code(n) for n in function.inputs]) or 'nothing'} after `ctx`"
            ],
            fixes=[
                Fix(f"let `backward` take {count}", takes_all(function) if "takes" in said["arguments"] else ())
                if of_backward
                else Fix("pass what `forward` takes after `ctx`", (), "display-only")
            ],
        )

    def _attribute(self, run: Reading, said: Said, function: CustomFunction) -> Diagnosis:
        told, kept = f"`ctx.{said['attribute']}` is read but `forward` never set it", listed([code("ctx." + n) for n in function.kept])
        return run.diagnosis(
            self,
            first_fitting(f"{code(function.name)}: {told}", told),
            run.raised,
            "not set in forward",
            notes=[f"`forward` at {place(function.header('forward'))} sets {kept or 'nothing on `ctx`'}"],
            fixes=[Fix(f"set {code('ctx.' + said['attribute'])} in `forward`", set_in_forward(function, said["attribute"]), "safe")],
        )

    def _unpacked(self, run: Reading, said: Said, function: CustomFunction) -> Diagnosis:
        saved = function.saves[0] if len(function.saves) == 1 else None
        count, at = len(saved.args) if saved is not None else 0, function.source.span(saved) if saved is not None else None
        line = text_at(run, run.raised)
        return run.diagnosis(
            self,
            f"{code(function.name + '.backward')} takes other tensors than `forward` saved: {count}",
            at or run.raised,
            f"saves {count}",
            notes=[
                f"{code(line)} at {place(run.raised)}; {code(run.sources.segment(at))} at {place(at)}" if at is not None else code(line)
            ],
            fixes=[Fix("save in `forward` what `backward` takes from `ctx.saved_tensors`", (), "display-only")],
        )

    def _setup(self, run: Reading, said: Said, function: CustomFunction) -> Diagnosis:
        return run.diagnosis(
            self,
            f"{code(function.name)} has no `setup_context`, which `torch.func` needs",
            function.header("forward"),
            "takes `ctx`",
            notes=["under `torch.func` (vmap, grad, …) `forward` takes no `ctx`; `setup_context` saves what `backward` needs"],
            fixes=[Fix("move the use of `ctx` into a static `setup_context(ctx, inputs, output)`", (), "display-only")],
        )

    examples = (
        Example(
            {
                "train.py": """\
import torch
from clipping import SoftClip
from torch import nn

net = nn.Linear(4, 3)
out = SoftClip.apply(net(torch.rand(5, 4)), 0.5, True)
out.sum().backward()
""",
                "clipping.py": """\
import torch
from torch.autograd import Function


class SoftClip(Function):
    @staticmethod
    def forward(ctx, x, limit, smooth):
        ctx.save_for_backward(x)
        ctx.limit = limit
        return x.clamp(-limit, limit)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        inside = x.abs() <= ctx.limit
        return grad * inside, None  #~ cause
""",
            },
            says=("SoftClip", "2 gradients", "3 inputs", "`smooth`", "clipping.py:7"),
            becomes="return grad * inside, None, None",
        ),
        Example(
            {
                "pool.py": """\
import torch


class Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows):
        ctx.count = rows.shape[1]
        return rows.mean(1)

    @staticmethod
    def backward(ctx, upstream):
        back = upstream / ctx.count  #~ cause
        return back


rows = torch.rand(3, 6, requires_grad=True)
Mean.apply(rows).sum().backward()
"""
            },
            says=("`rows`", "[3]", "[3, 6]", "Mean.backward"),
        ),
    )
    near_misses = (
        NearMiss({"no.py": "import torch\nfor a, b in [torch.ones(3)]:\n    print(a, b)\n"}),
        NearMiss({"no.py": "def forward(ctx):\n    saved_tensors = [1]\n    a, b = saved_tensors\n\n\nforward(None)\n"}),
    )
