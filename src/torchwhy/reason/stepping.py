"""What goes wrong when an optimizer, a scheduler or a gradient scaler is stepped, or gets back its saved state."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..model import Confidence, Fix, Plain, Span
from . import edits
from .group_edits import more_steps
from .optimizers import built_with, group_sizes, the_optimizer, torch_frame
from .origins import argument_origins
from .reading import Cause, Reading, named
from .structure import calls_of, loop_around
from .told import Told, text_at
from .wording import code, first_fitting, listed, place, plural

_NOUNS = {"closure": "a closure that computes the loss", "metrics": "the value that it watches"}
_ONE_CYCLE = ("optimizer", "max_lr", "total_steps", "epochs", "steps_per_epoch")
_PARAMETERS = {"learning rate": "lr", "beta": "betas", "epsilon": "eps"}
_OUT_OF_TURN = {
    "No inf": "no parameter of this optimizer has a gradient from the scaled loss",
    "unscale": "`unscale_` was called twice on this optimizer before `update`",
    "Attempt": "`GradScaler` did not scale a loss before its `step`",
    "step() ": "`step` was called twice on this optimizer before `update`",
}
Said = Mapping[str, str]


def in_optim(run: Reading) -> bool:
    """Whether it was raised in torch.optim."""
    return bool(run.failure.frames) and "torch/optim/" in run.failure.frames[-1].span.file.replace("\\", "/")


def without_argument(run: Reading, said: Said) -> Told:
    """`step()` of an optimizer that wants a closure, or of a scheduler that wants the metric."""
    given = "loss" if said["argument"] == "metrics" else "closure"
    return Told(
        f"{code(said['kind'] + '.step')} needs {_NOUNS[said['argument']]}: its argument {code(said['argument'])}",
        run.raised,
        f"no {said['argument']}",
        (f"{code(said['kind'])} calls the closure several times in each step" if given == "closure" else "",),
        (Fix(f"pass it: {code(f'step({given})')}", (), "display-only"),),
        confidence=Confidence.CERTAIN,
    )


def restored(run: Reading, said: Said) -> Told:
    """`load_state_dict` of an optimizer over other parameters than those that were saved."""
    frame = torch_frame(run, "saved_groups", "load_state_dict")
    own = group_sizes(frame.local("groups")) if frame is not None else ()
    saved = group_sizes(frame.local("saved_groups")) if frame is not None else ()
    optimizer = the_optimizer(run)
    built = optimizer.built[0] if optimizer is not None and optimizer.built else None
    differs = next((i for i, (a, b) in enumerate(zip(saved, own)) if a != b), None)
    headline = "the saved state is of other parameters than this optimizer has"
    if len(own) != len(saved):
        headline = f"the saved state has {plural(len(saved), 'parameter group')}, this optimizer {len(own)}"
    elif differs is not None:
        headline = f"the saved state is of {plural(saved[differs], 'parameter')}, this optimizer has {own[differs]}"
    counts = listed([str(n) for n in saved]), listed([str(n) for n in own])
    return Told(
        headline,
        built_with(run, optimizer) or built,
        f"gives {own[differs]} parameters" if differs is not None else "its parameters",
        (
            f"the state was saved with groups of {counts[0]} parameters, the optimizer has {counts[1]}" if own else "",
            f"the optimizer is built at {place(built)}: {code(run.sources.segment(built))}" if built is not None else "",
        ),
        (Fix("build the optimizer over the same parameters, in the same groups, as when it was saved; then load", (), "display-only"),),
    )


def state_of_another(run: Reading) -> Told | None:
    """A step that fails on the shape of its own running averages."""
    if not in_optim(run):
        return None
    sizes = re.search(r"tensor a \((\d+)\).*tensor b \((\d+)\)", run.failure.message)
    loads = [c for c in calls_of(run.sources, "load_state_dict") if c.line != run.raised.line]
    near = [c for c in loads if "opt" in run.sources.segment(c).partition(".load_state_dict")[0].lower()]
    detail = f" ({sizes[1]} against {sizes[2]})" if sizes else ""
    return Told(
        f"the optimizer's state has other shapes than its parameters{detail}",
        near[-1] if near else loads[-1] if len(loads) == 1 else None,
        "loads another state",
        (f"{code(text_at(run, run.raised))} adds a gradient to a running average of another shape",),
        (Fix("don't load the state saved for other parameters: start with a new optimizer", (), "display-only"),),
    )


def no_optimizer(run: Reading, said: Said) -> Told:
    """A scheduler that got the model."""
    written = run.sources.arguments(run.raised)
    name = code(written[0].text) if written else "its first argument"
    return Told(
        f"{name} is a {said['no_optimizer']}, a scheduler takes an optimizer",
        written[0].span if written else run.raised,
        f"a {said['no_optimizer']}",
        fixes=(Fix("pass the optimizer", (), "display-only"),),
        confidence=Confidence.CERTAIN,
    )


def stepped_too_often(run: Reading, said: Said) -> Told:
    """A scheduler that was built for fewer steps than are taken."""
    frame = torch_frame(run, "self")
    me = frame.local("self") if frame is not None else None
    kind = me.kind if isinstance(me, Plain) else "the scheduler"
    built = calls_of(run.sources, kind)
    cause: Cause | Span | None = built[0] if len(built) == 1 else None
    notes = [f"the scheduler is stepped at {place(run.raised)}, {said['steps']} times by now"]
    for name in ("total_steps", "steps_per_epoch", "epochs") if len(built) == 1 else ():
        chain = argument_origins(run.sources, (built[0],), name, _ONE_CYCLE)
        written = next((o for o in chain if o.form != "name"), None)
        if written is not None:
            cause = cause if isinstance(cause, Cause) else Cause(written.span, chain)
            notes.append(f"{name} is {code(written.text)} ({place(written.span)})")
    loop = loop_around(run.sources, run.raised)
    notes.append(f"the steps are taken in {code(loop.text)}" if loop is not None else "")
    made = more_steps(run, cause.span) if isinstance(cause, Cause) else ()
    changes = "the rate falls a little more slowly" if made else ""
    fix = Fix("build it for as many steps as the loop takes, or step it once less", made, changes=changes)
    headline = (
        f"{code(kind) if isinstance(me, Plain) else kind} was built for {plural(int(said['total']), 'step')} and is stepped once more"
    )
    return Told(headline, cause, f"{said['total']} steps", tuple(notes), (fix,))


def sparse_gradients(run: Reading, said: Said) -> Told:
    """An optimizer without sparse gradients, and the layer that gives them."""
    layer = next((m for m in run.evidence.modules if isinstance(v := m.setting("sparse"), Plain) and v.value is True), None)
    cause = run.setting(layer, "sparse", True) if layer is not None else None
    short = f"{code(said['sparse'])} takes no sparse gradients"
    edit = edits.replace_text(cause.span, "False") if cause is not None and cause.text == "True" else ()
    return Told(
        first_fitting(f"{short}, {named(run, layer)} gives them", short),
        cause,
        "sparse=True",
        ("`torch.optim.SparseAdam` and `SGD` take sparse gradients",),
        (Fix("make the gradients dense", edit, "safe"),),
    )


def out_of_range(run: Reading, said: Said) -> Told | None:
    """`Invalid learning rate: -1`."""
    if not in_optim(run):
        return None
    parameter = _PARAMETERS.get(said["hyper"]) or _PARAMETERS.get(said["hyper"].split()[0], said["hyper"].split()[0])
    short = f"{code(parameter)} is out of its range"
    cause = run.argument_origins(run.calls, parameter, ("params", "lr"))
    headline = first_fitting(f"{code(parameter)} is {said['value']}: {said['hyper']} out of its range", short)
    return Told(headline, cause, f"{parameter} is {said['value']}")


def scaled_out_of_turn(run: Reading, said: Said) -> Told:
    """A `GradScaler` whose methods are called in another order."""
    headline = next(
        (text for start, text in _OUT_OF_TURN.items() if said["scaler"].startswith(start)), "`GradScaler` is called out of turn"
    )
    order = "`scaler.scale(loss).backward()`, `scaler.unscale_(optimizer)` at most once, `scaler.step(optimizer)`, `scaler.update()`"
    return Told(headline, run.raised, "out of turn", (f"the order in each iteration: {order}",))


def one_for_each_group(run: Reading, said: Said) -> Told:
    """A scheduler whose list of settings is not as long as the optimizer's list of parameter groups."""
    groups, got = int(said["groups"]), int(said["got"])
    what = said["lambdas"]
    given = next(
        (e for n, e in enumerate(run.sources.arguments(run.raised)) if e.keyword == what.rstrip("s") or e.keyword == what or n == 1), None
    )
    cause = run.expression_origins(given.span, run.calls) if given is not None else Cause(run.raised)
    made = [o for o in run.evidence.optimizers if o.built]
    notes = [
        f"{code(what)} is {code(given.text)}: {plural(got, 'entry')} for {plural(groups, 'parameter group')}" if given is not None else "",
        f"the optimizer built at {place(made[-1].built[0])} has {plural(groups, 'parameter group')}" if made else "",
        "a list gives one entry for each group, in their order; a single function serves all groups",
    ]
    fix = Fix(f"give {groups} entries, one for each group, or one without a list")
    headline = f"the scheduler gets {got} of {code(what)} for {plural(groups, 'parameter group')}"
    return Told(headline, Cause(given.span) if given is not None else cause, f"{got} for {groups} groups", tuple(notes), (fix,))


def resumed_without_initial(run: Reading, said: Said) -> Told:
    """A scheduler built with `last_epoch` for an optimizer that was never under a scheduler."""
    given = next((e for e in run.sources.arguments(run.raised) if e.keyword == "last_epoch"), None)
    made = [o for o in run.evidence.optimizers if o.built]
    notes = [
        f"`last_epoch` is {code(given.text)}: the scheduler takes the schedule up again, from the `initial_lr` of each group"
        if given
        else "",
        f"the optimizer built at {place(made[-1].built[0])} is fresh: its groups have no `initial_lr` yet" if made else "",
        "`initial_lr` is put there by a scheduler that starts from the beginning (last_epoch=-1), or by the optimizer's loaded state",
    ]
    fixes = (
        Fix("load the optimizer's state before the scheduler is built, or load the scheduler's own `state_dict` instead of `last_epoch`"),
        Fix("give each group its start: `for g in optimizer.param_groups: g.setdefault('initial_lr', g['lr'])`"),
    )
    headline = f"`last_epoch` is given, but the optimizer's group {said['group']} has no `initial_lr`"
    return Told(headline, Cause(run.raised), "resumes with a fresh optimizer", tuple(notes), fixes)
