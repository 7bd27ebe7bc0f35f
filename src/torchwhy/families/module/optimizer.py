"""An optimizer doesn't get parameters that it can train, or is stepped or restored in another way than it takes.

Erroneous code (TW0706):

```python
{example}
```

Why: an optimizer keeps the list of leaf tensors that it is given when it is built. `model.parameters()`,
`filter(...)` and other iterators can be run through once: a count or a loop before leaves nothing. A tensor that was
computed (scaled, moved with `.to(...)`, converted) is no leaf. A parameter may stand in one group only. A saved
optimizer state fits an optimizer over the same parameters in the same groups.

Fix: make a list of an iterator before using it twice; convert first and require gradients last; leave out of one
group what the other has; build the optimizer over the same parameters before `load_state_dict`.

Messages: `optimizer got an empty parameter list`; `can't optimize a non-leaf Tensor`; `some parameters appear in more
than one parameter group`; `optimizer can only optimize Tensors, but one of the params is str`; `loaded state dict
contains a parameter group that doesn't match the size of optimizer's group`; `step() missing 1 required positional
argument: 'closure'`; `Tried to step 101 times. The specified number of total steps is 100`.

Not to be confused with: `module.init` and `module.unregistered`, where the model itself has no parameters.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Edit, Evidence, Fix, Label, Span, TensorFacts
from ...reason import edits, stepping
from ...reason.emptied import Emptied, emptied
from ...reason.group_edits import taken_once
from ...reason.holdings import stored_anywhere
from ...reason.members import paths_of, shown
from ...reason.optimizers import given, given_origin, group_expression, the_optimizer, torch_frame, twice
from ...reason.reading import Reading, named, reading
from ...reason.structure import last_name, loop_around
from ...reason.told import Told, tell, text_at
from ...reason.wording import code, first_fitting, listed, place, plural, tensor_text

_HERE = "torch/optim/optimizer.py"
_SCHEDULES = "torch/optim/lr_scheduler.py"
_SCALER = r"unscale_\(\) has already been called|Attempted (?:step|unscale_)|step\(\) has already been called"
_STEPPING: dict[str, Callable[[Reading, dict[str, str]], Told | None]] = {
    "argument": stepping.without_argument,
    "restored": stepping.restored,
    "no_optimizer": stepping.no_optimizer,
    "steps": stepping.stepped_too_often,
    "sparse": stepping.sparse_gradients,
    "hyper": stepping.out_of_range,
    "scaler": stepping.scaled_out_of_turn,
    "lambdas": stepping.one_for_each_group,
    "initial": stepping.resumed_without_initial,
}
Said = dict[str, str]


class OptimizerFamily(Family):
    code = "TW0706"
    title = "an optimizer can't use what it is given"
    triggers = (
        Trigger(r"(?P<empty>optimizer got an empty parameter list)"),
        Trigger(r"(?P<computed>can't optimize a non-leaf Tensor)"),
        Trigger(r"(?P<twice>some parameters appear in more than one parameter group)"),
        Trigger(r"optimizer can only optimize Tensors, but one of the params is (?P<no_tensor>[\w.]+)"),
        Trigger(r"(?P<bare>params argument given to the optimizer should be an iterable)"),
        Trigger(r"'(?P<uniterable>\w+)' object is not iterable", ("TypeError",), _HERE),
        Trigger(r"param_group must be a dict, but got <class '(?P<no_group>[\w.]+)'>"),
        Trigger(r"\b(?P<kind>\w+)\.step\(\) missing 1 required positional argument: '(?P<argument>closure|metrics)'", ("TypeError",)),
        Trigger(
            r"loaded state dict (?P<restored>contains a parameter group that doesn't match|has a different number of parameter groups)"
        ),
        Trigger(r"must match the size of tensor b|must match existing size", ("RuntimeError",)),
        Trigger(r"\b(?P<no_optimizer>\w+) is not an Optimizer", ("TypeError",)),
        Trigger(r"Tried to step (?P<steps>\d+) times\. The specified number of total steps is (?P<total>\d+)"),
        Trigger(r"\b(?P<sparse>\w+) does not support sparse gradients"),
        Trigger(r"Invalid (?P<hyper>learning rate|\w{1,40} (?:value|parameter)[^:]{0,200}): (?P<value>.+)", ("ValueError",)),
        Trigger(rf"(?P<scaler>{_SCALER})"),
        Trigger(
            r"[Ee]xpected (?P<groups>\d+) (?P<lambdas>lr_lambdas|values? for \w+|\w+), but got (?P<got>\d+)", ("ValueError",), _SCHEDULES
        ),
        Trigger(r"param '(?P<initial>initial_lr)' is not specified in param_groups\[(?P<group>\d+)\] when resuming"),
    )
    rank = 2

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run, said = reading(evidence), {k: v for k, v in match.groupdict().items() if v is not None}
        own = {"empty": self._empty, "computed": self._computed, "twice": self._twice, "no_tensor": self._no_tensor, "bare": self._bare}
        own |= {"uniterable": self._uniterable, "no_group": self._no_group}
        for key, answer in own.items():
            if key in said:
                return answer(run, said)
        told = next((_STEPPING[key](run, said) for key in _STEPPING if key in said), None)
        return tell(run, self, told or (stepping.state_of_another(run) if not said else None))

    # ── nothing to train ──────────────────────────────────────────────────────────────────────────────────────────────
    def _empty(self, run: Reading, said: Said) -> Diagnosis | None:
        found = emptied(run)
        if found.why in ("unregistered", "no-layers"):
            return None
        name = code(found.expression or "params")
        if found.why == "used-up" and found.made is not None and found.used is not None:
            kind, at = found.kind, f"{code(run.sources.segment(found.used))} at {place(found.used)}"
            return run.diagnosis(
                self,
                first_fitting(
                    f"{name} is a {kind} that was used up before the optimizer got it", f"a used-up {kind} reaches the optimizer"
                ),
                found.made,
                f"a one-shot {kind}",
                trail=[Label(found.used, "used up here"), Label(run.raised, "raised here")],
                notes=[f"{name} is an iterator: it can be run through only once, and {at} has exhausted it"],
                fixes=[Fix("make a list of it, which can be used twice", self._listed(run, found.made), "safe")],
                confidence=Confidence.CERTAIN,
            )
        if found.why == "frozen":
            return self._frozen(run, found, name)
        told = "passes no parameter of " + named(run, found.module) if found.why == "filtered" and found.module else "is empty"
        notes = [f"{name} comes from {code(run.sources.segment(found.made))} at {place(found.made)}" if found.made is not None else ""]
        cause = found.made if found.why in ("filtered", "empty") else None
        headline = first_fitting(
            f"{name} {told}: the optimizer has nothing to train", f"{name} {told}: nothing to train", f"{name} is empty"
        )
        return run.diagnosis(self, headline, cause, "gives no parameter", notes=notes)

    def _listed(self, run: Reading, made: Span) -> edits.Edits:
        text = run.sources.segment(made)
        if isinstance(run.sources.node_at(made), ast.GeneratorExp) and text.startswith("("):
            return edits.replace_text(made, f"[{text[1:-1]}]")
        return edits.wrap(run.sources, made, "list(", ")")

    def _frozen(self, run: Reading, found: Emptied, name: str) -> Diagnosis:
        op = found.ops[-1] if found.ops else None
        many = len(found.ops)
        cause = op.span if op is not None else found.made
        notes = [f"{named(run, found.module)} has only parameters with requires_grad=False, and {name} takes those that require it"]
        if op is not None:
            notes.append(
                f"{code(run.sources.segment(op.span))} at {place(op.span)} froze {'them' if many > 1 else 'it'}" if op.span else ""
            )
        told = "leave the layers to train unfrozen, or set `requires_grad = True` on them before the optimizer is built"
        fix = Fix(told, self._thawed(run, found), changes="only the last layer is trained")
        return run.diagnosis(
            self,
            f"all parameters of {named(run, found.module)} are frozen: nothing to train",
            cause,
            "froze them",
            notes=notes,
            fixes=[fix],
        )

    def _thawed(self, run: Reading, found: Emptied) -> edits.Edits:
        """The model's last layer told to require gradients before the optimizer is built."""
        module = found.module
        last = next((name for name, _ in reversed(module.children)), "") if module is not None else ""
        if module is None or not last or not module.fqn.replace(".", "").isidentifier():
            return ()
        layer = f"{module.fqn}[{last}]" if last.isdigit() else f"{module.fqn}.{last}"
        return edits.insert_before(run.sources, run.raised.file, run.raised.line, f"{layer}.requires_grad_(True)")

    # ── things that are no parameters ─────────────────────────────────────────────────────────────────────────────────
    def _computed(self, run: Reading, said: Said) -> Diagnosis:
        frame = torch_frame(run, "param", "add_param_group")
        value = frame.local("param") if frame is not None else None
        tensor = value if isinstance(value, TensorFacts) else next((t for _, t in run.tensors if not t.is_leaf), None)
        if tensor is None:
            return run.diagnosis(self, "the optimizer gets a computed tensor; it takes leaves", None)
        made = run.history.producer(tensor, run.before)
        name = code(run.history.names.get(tensor.id, "") or (w.text if (w := given(run)) is not None else "") or "a tensor")
        doing = code(made.name) if made is not None else code(tensor.grad_fn or "an op")
        at = made.span if made is not None else None
        text = run.sources.segment(at) if at is not None else ""
        source = next((t for t in made.inputs if t.requires_grad), None) if made is not None else None
        before = self._called(run, source)
        leaf = edits.append_method(run.sources, at, ".detach().requires_grad_()") if at is not None else ()
        return run.diagnosis(
            self,
            first_fitting(
                f"{name} is the result of {doing}, not a leaf: the optimizer can't train it",
                f"{name} is not a leaf: no optimizer trains it",
            ),
            at,
            "not a leaf from here on",
            trail=run.trail(tensor, "grad"),
            notes=[
                f"{name} is {tensor_text(tensor)} with grad_fn {code(tensor.grad_fn or '?')}: it was computed from {before}",
                f"{code(text)} at {place(at)} gives a new tensor; the leaf is what `requires_grad` was set on" if at is not None else "",
            ],
            fixes=[
                Fix("make the result itself the leaf", leaf, "unsafe", changes="its source is no longer trained"),
                Fix(f"or give the optimizer {before}, and compute {name} from it in each step", (), "display-only"),
            ],
            confidence=Confidence.CERTAIN if made is not None else Confidence.LIKELY,
        )

    def _called(self, run: Reading, source: TensorFacts | None) -> str:
        """A tensor's name, else the expression that made it."""
        if source is None:
            return "its source"
        made = run.history.producer(source, run.before)
        name = run.history.names.get(source.id, "") or (
            run.sources.segment(made.span) if made is not None and made.span is not None else ""
        )
        return code(name) if name else "its source"

    def _no_tensor(self, run: Reading, said: Said) -> Diagnosis:
        kind, (span, text) = said["no_tensor"], given_origin(run)
        node, source = run.sources.node_at(span), run.sources.file(span.file)
        elements = node.elts if isinstance(node, (ast.List, ast.Tuple)) else [node.elt] if isinstance(node, ast.ListComp) else []
        generators = [e for e in elements if isinstance(e, ast.Call) and last_name(e) == "parameters"]
        if isinstance(node, ast.ListComp) and generators and source is not None:
            loops = text[len(source.segment(node.elt)) + 1 :].lstrip().removesuffix("]")
            what = f"{code(text)} is a list of iterators, not of parameters"
            fix = Fix(
                "take the parameters out of each", edits.replace_text(span, f"[p {loops} for p in {source.segment(node.elt)}]"), "safe"
            )
        elif generators and source is not None:
            what = f"{code(text)} is a list of {plural(len(generators), 'iterator')}, not of parameters"
            fix = Fix("unpack them", tuple(e for g in generators for e in edits.wrap(run.sources, source.span(g), "*", "")), "safe")
        elif "named_parameters" in text or "state_dict" in text:
            call = re.sub(r"(named_parameters|state_dict)\(\)", "parameters()", text)
            what = f"{code(text)} gives names with the tensors, the optimizer takes tensors"
            fix = Fix(f"pass {code(call)}", edits.replace_text(span, call), "safe")
        else:
            what, fix = (
                f"{code(text) if text else 'the list'} holds a {kind}, the optimizer takes tensors",
                Fix("pass tensors only", (), "display-only"),
            )
        headline = first_fitting(what, f"the optimizer gets a {kind} among its parameters")
        return run.diagnosis(self, headline, span, f"a {kind} in it", notes=[f"one of the params is {code(kind)}"], fixes=[fix])

    def _bare(self, run: Reading, said: Said) -> Diagnosis:
        written = given(run)
        name = code(written.text) if written is not None else "a tensor"
        fix = (
            Fix(f"pass a list: {code(f'[{written.text}]')}", edits.wrap(run.sources, written.span, "[", "]"), "safe")
            if written is not None
            else None
        )
        return run.diagnosis(
            self,
            f"{name if written is not None else 'the argument'} is one tensor; the optimizer takes a list of them",
            written.span if written is not None else run.raised,
            "one tensor",
            fixes=[fix] if fix is not None else [],
            confidence=Confidence.CERTAIN,
        )

    def _uniterable(self, run: Reading, said: Said) -> Diagnosis | None:
        written, kind = given(run), said["uniterable"]
        if written is None:
            return None
        ending = "()" if kind == "method" else ".parameters()"
        what = (
            f"{code(written.text)} is a method that was not called"
            if kind == "method"
            else f"{code(written.text)} is a {kind}, not its parameters"
        )
        fix = Fix(f"pass {code(written.text + ending)}", edits.append_method(run.sources, written.span, ending), "safe")
        return run.diagnosis(self, what, written.span, f"a {kind}", notes=["an optimizer takes an iterable of tensors"], fixes=[fix])

    def _no_group(self, run: Reading, said: Said) -> Diagnosis:
        span, text = given_origin(run)
        return run.diagnosis(
            self,
            first_fitting(
                f"{code(text)} mixes parameter groups with a {said['no_group']}", f"a parameter group is a {said['no_group']}, not a dict"
            ),
            span,
            "not all are dicts",
            notes=["a parameter group is a dict with `params`; tensors and groups can't be mixed in one list"],
            fixes=[Fix("write it as `{'params': [...]}`", self._as_groups(run, span), "safe")],
        )

    def _as_groups(self, run: Reading, span: Span) -> edits.Edits:
        node, source = run.sources.node_at(span), run.sources.file(span.file)
        bare = [e for e in getattr(node, "elts", ()) if not isinstance(e, (ast.Dict, ast.Starred))]
        return tuple(Edit(source.span(e), f'{{"params": {source.segment(e)}}}') for e in bare) if source is not None else ()

    # ── groups ────────────────────────────────────────────────────────────────────────────────────────────────────────
    def _twice(self, run: Reading, said: Said) -> Diagnosis:
        found, several = twice(run), "some parameters are in two parameter groups"
        paths = {t.id: paths_of(run, t) for t in found.tensors}
        names = [(paths[t.id] or [run.history.names.get(t.id, "?")])[0] for t in found.tensors]
        headline = first_fitting(
            f"{code(names[0])} {f'and {len(names) - 1} more are' if len(names) > 1 else 'is'} already in another parameter group"
            if names
            else several,
            several,
        )
        tied = next((both for both in paths.values() if len(both) > 1), None)
        tie = self._tie(run, tied) if tied is not None else None
        span = group_expression(run, found.index) or run.raised
        notes = [f"in two groups: {shown(names)}" if names else ""]
        if tied is not None:
            at = f" since {place(tie)}" if tie is not None else ""
            notes.append(f"{listed([code(p) for p in tied])} are one tensor, tied{at}: each group takes it")
        notes.append(f"{code(run.sources.segment(span))} at {place(span)} has {'them' if len(names) > 1 else 'it'} a second time")
        optimizer, loop = the_optimizer(run), loop_around(run.sources, run.raised)
        if optimizer is not None and optimizer.built and found.index is None:
            built = code(run.sources.segment(optimizer.built[0]))
            notes.append(f"the optimizer has {plural(len(optimizer.parameters), 'parameter')} already, from {built}")
        if loop is not None and "add_param_group" in text_at(run, run.raised):
            notes.append(f"it is called in {code(loop.text)}")
        fix = f"leave {shown(names, 2) or 'them'} out of one group: skip a parameter that was already taken (compare with `is`, or by `id`)"
        return run.diagnosis(
            self,
            headline,
            tie or span,
            "one tensor under two names" if tie is not None else "a second time",
            trail=[Label(span, "has it a second time"), Label(run.raised, "raised here")] if span != run.raised else (),
            notes=notes,
            fixes=[Fix(fix, taken_once(run))],
            confidence=Confidence.CERTAIN if names else Confidence.LIKELY,
        )

    def _tie(self, run: Reading, paths: list[str]) -> Span | None:
        """The statement that gave one module's parameter to another: `self.out.weight = self.embed.weight`."""
        name = paths[0].rpartition(".")[2]
        stores = [s for s in stored_anywhere(run.sources, name) if isinstance(s.value, ast.Attribute) and s.value.attr == name]
        return stores[0].source.span(stores[0].statement) if len(stores) == 1 else None

    examples = (
        Example(
            {
                "tune.py": """\
import torch
from torch import nn

net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
tuned = (p for p in net.parameters() if p.dim() > 1)  #~ cause
print("tuning", sum(p.numel() for p in tuned), "weights")
optimizer = torch.optim.RMSprop(tuned, lr=1e-3)
"""
            },
            says=("`tuned`", "generator", "used up", "exhausted", "sum(p.numel() for p in tuned)", "list"),
        ),
        Example(
            {
                "embed.py": """\
import torch
from settings import start

table = start(20, 4)
optimizer = torch.optim.Adam([{"params": [table], "lr": 0.1}])
""",
                "settings.py": """\
import torch


def start(rows, width):
    table = torch.zeros(rows, width, requires_grad=True)
    return table.double()  #~ cause
""",
            },
            says=("table", "not a leaf", "double", "[20, 4]"),
            becomes="return table.double().detach().requires_grad_()",
        ),
        Example(
            {
                "groups.py": """\
import torch
from torch import nn

body, head = nn.Linear(4, 4), nn.Linear(4, 2)
model = nn.Sequential(body, head)
optimizer = torch.optim.SGD(
    [
        {"params": head.parameters(), "lr": 0.1},
        {"params": model.parameters(), "lr": 0.01},  #~ cause
    ],
    momentum=0.9,
)
"""
            },
            says=("already in another parameter group", "head.weight", "second time"),
        ),
    )
    near_misses = (
        NearMiss({"ok.py": "import torch\n\nnet = torch.nn.Linear(2, 2)\nprint(torch.optim.SGD(list(net.parameters()), lr=0.1))\n"}),
        NearMiss({"no.py": "for value in 3:\n    print(value)\n"}),
        NearMiss({"add.py": "import torch\n\nprint(torch.ones(3) + torch.ones(4))\n"}, belongs_to="shape.broadcast"),
    )
