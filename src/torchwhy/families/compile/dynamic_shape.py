"""A compiled function was made for one size or value, and meets another.

Erroneous code (TW1002):

{example}

Why: `torch.compile` and `torch.export` specialise: a size that meets a constant in the program (a buffer of a fixed batch, a literal in `view`), a Python number or a string argument becomes part of the compiled code.
Marking such a dimension as dynamic contradicts the program: a *constraint violation*. An argument that differs at every call is compiled again every time, up to the recompile limit (8).

Fix: take the size from the tensor (`x.shape[0]`) instead of a constant, or remove the mark; pass what changes as a tensor, or keep it out of the compiled function; `dynamic=True` for sizes that do change.

Messages: `Constraints violated (L['x'].size()[0])! … your code specialized it to be a constant (32)`; `Dynamo recompile limit exceeded` (`hit config.recompile_limit (8)`; older: `cache_size_limit`);
`Hard failure due to fullgraph=True`; `Could not guard on data-dependent expression Eq(u0, 0)`; `Not all values of dim are valid`.

Not to be confused with: `compile.graph-break` (code that the compiler can't follow), `compile.backend`.
"""

from __future__ import annotations

import re

from ...family import Example, Family, LogExample, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, Label, Span
from ...reason.compiled import decides_branch, literal_lines, user_stack
from ...reason.dynamic_edits import cut_to
from ...reason.edits import Edits
from ...reason.printed import arguments_in, around, find
from ...reason.reading import Reading, reading
from ...reason.specialised import Specialised, counted_attribute, declared_wider, example_of_one, marked_too, recompile_forbidden
from ...reason.wording import code, first_fitting, listed, place

_CHANGES = re.compile(r"%|^f['\"]|str\(|format\(|float\(|int\(|\.item\(\)|^\w+ [-+*/] |^[ijknst]$|step|epoch|name|index")


class DynamicShape(Family):
    code = "TW1002"
    title = "compiled for one size or value, called with another"
    rank = 2
    triggers = (
        Trigger(r"marked (?P<what>[^\n]{0,400}?) as dynamic but your code specialized it to be a constant \((?P<value>\d+)\)"),
        Trigger(
            r"[Rr]ecompile[_ ]limit(?: exceeded)?|cache_size_limit|FailOnRecompileLimit|Hard failure due to fullgraph",
            types=("FailOnRecompileLimitHit", "Unsupported", "RecompileError", "CacheLimitExceeded"),
        ),
        Trigger(r"Detected recompile when torch.compile stance is '(?P<stance>\w+)'"),
        Trigger(
            r"(?:[Cc]ould not (?:guard on|extract specialized integer from) data-dependent expression|data-dependent symbolic expression) ?(?P<guard>[^\n]*)"
        ),
        Trigger(
            r"Constraints violated \((?P<dims>[^\n]{0,600})\)|[Nn]ot all values of (?P<dim>\S{1,200})(?= )[^\n]{0,300} (?:are valid|satisfy)"
        ),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        groups = match.groupdict()
        if not run.failure.user_frames and not evidence.from_text:
            return None  # the exception that was raised from this one has the program's lines, and the same text
        if groups.get("value"):
            return self._constant(run, groups["what"] or "", groups["value"])
        if groups.get("stance"):
            return self._told(run, recompile_forbidden(run, groups["stance"] or ""))
        if "ecompile" in match[0] or "cache_size" in match[0] or "Hard failure" in match[0]:
            return self._recompiled(run, around(evidence))
        stack = user_stack(run)
        at = stack[-1].span if stack else run.raised
        if groups.get("guard") is not None and decides_branch(groups["guard"], stack):
            return None  # a branch on a tensor's value, which `compile.graph-break` tells of
        if groups.get("guard") is not None:
            expression = groups["guard"].strip(" .(")
            headline = f"the compiler needs the value of {code(expression.partition(' (unhinted')[0][:30])}, which the data decides"
            notes = ["the size or value comes from the data (`.item()`, `nonzero`, a mask), so it is not known while compiling"]
            fix = "keep data-dependent sizes out of the compiled function, or state what holds with torch._check(...)"
        elif (wide := declared_wider(run)) is not None:
            return self._told(run, wide)
        else:
            said = next((line.strip() for line in run.failure.message.splitlines()[1:] if line.strip()), "")
            headline = (
                f"the program does not take every size that {code(groups.get('dims') or groups.get('dim') or 'a dimension')} is marked for"
            )
            notes = [f"the compiler says: {code(said)}"] if said else []
            fix = "state the sizes that the program takes (Dim(..., min=, max=)), or let Dim.AUTO find them"
        return self._answer(
            run, first_fitting(headline, "the compiled program does not take every size it is marked for"), at, "", notes, fix
        )

    def _constant(self, run: Reading, what: str, value: str) -> Diagnosis:
        stack = user_stack(run)
        name = find(r"L\['(\w+)'\]", what, 1) or what
        dim = find(r"size\(\)\[(\d+)\]", what, 1)
        which = f"dimension {dim} of {code(name)}" if dim else code(name)
        if (example := example_of_one(run, which, value)) is not None:
            return self._told(run, example)
        literals = literal_lines(run.sources, value)
        at = stack[-1].span if stack else literals[0] if len(literals) == 1 else run.raised
        notes = [
            f"{which} is marked as dynamic, but the program specialised it to the constant {value}: something of the fixed size {value} meets it"
        ]
        if stack:
            notes.append(f"they meet at {place(stack[-1].span)}: {code(stack[-1].code)}")
        notes += [
            f"{value} is written at {place(span)}: {code(run.sources.line_text(span.file, span.line).strip())}" for span in literals[:3]
        ]
        made = cut_to(run, name, int(dim or 0), int(value)) if value.isdigit() else ()
        unmarked, marking = marked_too(run, dim, value)
        fix = f"take the size from the tensor ({name}.shape[{dim or 0}]) instead of the constant {value}, or remove the mark"
        if unmarked and not made:
            notes.append(
                f"{listed([code(n) for n in unmarked])} {'has' if len(unmarked) == 1 else 'have'} the same size and no mark: what is not marked is static, and fixes what it meets"
            )
            fix, made = f"mark {listed([code(n) for n in unmarked])} as dynamic too", marking
        return self._answer(
            run,
            first_fitting(
                f"{which} is marked dynamic but the program fixes it to {value}", f"a dynamic dimension is fixed to {value} by the program"
            ),
            at,
            f"a fixed {value} meets it here",
            notes,
            fix,
            tuple(Label(f.span, "") for f in stack[:-1]),
            made,
        )

    def _recompiled(self, run: Reading, text: str) -> Diagnosis:
        limit = find(r"currently set to (\d+)|(?:recompile_limit|cache_size_limit) \((\d+)\)", text)
        limit = find(r"\d+", limit) or "8"
        function = find(r"function: '(\w+)'", text, 1)
        reason = find(r"last reason: \d*/?\d*:? ?([^\n#]+)", text, 1).strip()
        stack = user_stack(run)
        changing = find(r"^(?:L\['(\w+)'\]|(\w+))", reason)
        changing = re.sub(r"L\['(\w+)'\]", r"\1", changing)
        at = run.raised
        notes = [
            f"every call has another value, and the compiled code is guarded on it, so each call compiles again up to the limit of {limit}"
        ]
        if reason:
            kind = (
                "a string"
                if re.search(r"== ['\"]", reason)
                else "a Python number"
                if re.search(r"== -?[\d.]+", reason)
                else "a size"
                if "size" in reason
                else "a value"
            )
            notes.append(f"the guard that failed last: {code(reason)}: {kind} that differs from call to call")
        if stack:
            notes.append(f"in {code(function or stack[-1].span.function)}, used at {place(stack[-1].span)}: {code(stack[-1].code)}")
        if run.frame is not None and run.frame.code:
            notes.append(f"the call is {code(run.frame.code)}")
        counted = counted_attribute(run) if not reason else None
        if counted is not None:
            name, at = counted
            notes.append(
                f"{code(name)} changes at {place(at)} in each call: an attribute that is a Python number is a constant to the compiler, which guards on it"
            )
            return self._answer(
                run,
                first_fitting(
                    f"{code(name)} changes in each call, each compiles again: the limit is {limit}",
                    f"a counted attribute compiles again: the limit is {limit}",
                ),
                at,
                "changes in each call",
                notes,
                f"keep {code(name)} in a tensor (`register_buffer`), or count outside of the compiled code; "
                "`torch._dynamo.config.allow_unspec_int_on_nn_module = True` lets it vary",
            )
        if not changing and run.frame is not None:
            changing = next((a for a in arguments_in(run.frame.code) if _CHANGES.search(a)), "")
        who = code(changing) if changing and changing != "tensor" else "an argument"
        return self._answer(
            run,
            first_fitting(
                f"{code(function) if function else 'the function'} recompiles for each new value of {who}: the limit is {limit}",
                f"the recompile limit of {limit} is reached: an argument changes at every call",
            ),
            at,
            "each call brings another value",
            notes,
            f"keep {who} out of the compiled function, or pass it as a tensor; raising the limit only delays it",
        )

    def _told(self, run: Reading, found: Specialised) -> Diagnosis:
        return self._answer(run, found.headline, found.at, found.because, list(found.notes), found.fix, (), found.made)

    def _answer(
        self,
        run: Reading,
        headline: str,
        at: Span,
        because: str,
        notes: list[str],
        fix: str,
        trail: tuple[Label, ...] = (),
        made: Edits = (),
    ) -> Diagnosis:
        return run.diagnosis(
            self,
            headline,
            at,
            because,
            trail=(*trail, Label(run.raised, "raised here")),
            notes=notes,
            fixes=[Fix(fix, made)],
            confidence=Confidence.LIKELY,
        )

    examples = (
        Example(
            {
                "score.py": """\
import torch
from torch import nn


class Blend(nn.Module):
    def __init__(self, rows):
        super().__init__()
        self.memory = torch.zeros(rows, 3)

    def forward(self, x):
        return torch.sigmoid(x + self.memory)  #~ cause


blend = torch.compile(Blend(5), backend="eager")
x = torch.ones(5, 3)
torch._dynamo.mark_dynamic(x, 0)
print(blend(x).shape)
"""
            },
            says=("dynamic", "5", "constant", "`x`", "memory"),
        ),
    )
    near_misses = (NearMiss({"ok.py": "import torch\nprint(torch.compile(lambda x: x + 1, backend='eager')(torch.ones(2)))\n"}),)
    log_examples = (
        LogExample(
            """\
W0312 10:00:01.000000 77 torch/_dynamo/convert_frame.py:906] [3/8] torch._dynamo hit config.recompile_limit (8)
W0312 10:00:01.000000 77 torch/_dynamo/convert_frame.py:906] [3/8]    function: 'decay' (/srv/opt/steps.py:4)
W0312 10:00:01.000000 77 torch/_dynamo/convert_frame.py:906] [3/8]    last reason: 3/7: step == 7
Traceback (most recent call last):
  File "/srv/opt/fit.py", line 21, in <module>
    lr = decay(lr, step)
torch._dynamo.exc.FailOnRecompileLimitHit: recompile_limit reached with fullgraph=True. Excessive recompilations can degrade performance
""",
            says=("step", "8", "decay", "recompile"),
            cause="/srv/opt/fit.py:21",
        ),
    )
