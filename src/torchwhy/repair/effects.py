"""What a variant changes besides the conflict: sizes of layers that had no part in it, parameters
that an optimizer no longer gets, gradients that no longer come.

A variant is an edit that was found by trying. That the program goes on with it is no reason to
make it where it computes something else then: such a one only hides the error.
"""

from __future__ import annotations

from ..model import Evidence, Failure, Fix
from ..reason.history import history_of
from ..replay.trial import Outcome
from .turns import steps


def alteration(fix: Fix, outcome: Outcome, unpatched: Outcome, evidence: Evidence, failure: Failure) -> str:
    """In words, in the place of `only hides: `; empty where nothing else changes."""
    return fix.changes or _of_parameters(fix, outcome, unpatched, evidence, failure) or _of_gradients(outcome, unpatched)


def _of_parameters(fix: Fix, outcome: Outcome, unpatched: Outcome, evidence: Evidence, failure: Failure) -> str:
    now, before = outcome.parameters, unpatched.parameters
    if len(now) < len(before):
        return f"the error; the optimizer gets {len(now)} parameters with it, not {len(before)}"
    changed = [n for n, (a, b) in enumerate(zip(now, before)) if a != b]
    history = history_of(evidence)
    given = [number for optimizer in evidence.optimizers for number in optimizer.parameters]
    if not changed or len(given) != len(before):
        return ""  # which layers they belong to is not known
    modules = history.modules
    way = {op.module for op in steps(evidence, failure)}
    # layers of the same line go together: one of them failed, the others would
    lines = {modules[m].built[0] for m in way if m in modules and modules[m].built}
    edited = {(edit.span.file, edit.span.line) for edit in fix.edits}
    for owner in (history.owner_of[given[n]][0] for n in changed if given[n] in history.owner_of):
        made = owner.built[0] if owner.built else None
        if owner.id in way or made is None or made in lines or (made.file, made.line) in edited:
            continue
        return f"the error; `{owner.fqn}`, which has no part in it, gets another size"
    return ""


def _of_gradients(outcome: Outcome, unpatched: Outcome) -> str:
    step = outcome.seen[unpatched.steps] if len(outcome.seen) > unpatched.steps else None
    if step is None or step.gradients == step.parameters and step.norm:
        return ""
    if unpatched.seen and unpatched.seen[-1].gradients <= step.gradients and step.norm:
        return ""
    if not step.norm:
        return "the error; all gradients are zero with it"
    return f"the error; {step.gradients} of {step.parameters} parameters get a gradient with it"
