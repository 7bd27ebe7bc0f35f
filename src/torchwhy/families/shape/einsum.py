"""The equation of an einsum does not go with the shapes of its operands.

Erroneous code (TW0119):

{example}

Why: every operand has one subscript for each of its dimensions, and a subscript means one size wherever it stands. The equation was
written for another order of dimensions, a tensor has not been split into heads, or two layers give vectors of different width.

Fix: write the subscripts in the order of the dimensions (`'bi,ji->bj'` for a weight [out, in]), give the operand its missing dimension, or
make the widths equal.

Messages: `einsum(): the number of subscripts in the equation (4) does not match the number of dimensions (3) for operand 1 and no
ellipsis was given` · `einsum(): subscript d has size 12 for operand 1 which does not broadcast with previously seen size 16` · `einsum():
operands do not broadcast with remapped shapes` · `einsum(): fewer operands were provided than specified in the equation` · `contracted
dimensions need to match, but first has size 4 in dim 1 and second has size 6 in dim 0` (tensordot).

Not to be confused with: `shape.matmul`, a product written as `@`.
"""

from __future__ import annotations

import re
from itertools import combinations

from ...family import Example, Family, NearMiss, Trigger
from ...model import Diagnosis, Evidence, Fix, Plain, TensorFacts
from ...reason import edits
from ...reason.accounts import tensor_account
from ...reason.broadcasting import lost_rank
from ...reason.conflict import conflict, size_fixes
from ...reason.dropped import rank_kept
from ...reason.reading import Reading, reading
from ...reason.wording import code, first_fitting, place, plural, shape_text

Named = tuple[str, TensorFacts]


class Einsum(Family):
    code = "TW0119"
    title = "an einsum equation that does not go with its operands"
    triggers = (
        Trigger(
            r"einsum\(\):? .{0,400}number of subscripts in the equation \((?P<letters>\d+)\).{0,400}dimensions \((?P<rank>\d+)\)"
            r" for operand (?P<operand>\d+)"
        ),
        Trigger(
            r"einsum\(\):? .*subscript (?P<letter>\w) has size (?P<size>\d+) for operand (?P<operand>\d+)"
            r" which does not broadcast with previously seen size"
        ),
        Trigger(r"einsum\(\):? (operands do not broadcast|.*operands were provided|.*subscript|.*ellipsis|invalid)|einsum\(\)"),
        Trigger(
            r"contracted dimensions need to match, but first has size (?P<a>\d+) in dim (?P<da>-?\d+)"
            r" and second has size (?P<b>\d+) in dim (?P<db>-?\d+)"
        ),
        Trigger(r"[Ss]hape mismatch: objects cannot be aligned"),
    )
    rank = 1

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        groups = match.groupdict()
        if run.op is None:
            written = [e.text for e in run.sources.arguments(run.raised)]
            note = f"the call gets {', '.join(code(w) for w in written)}" if written else ""
            return run.diagnosis(self, "the equation does not go with the operands", None, "equation and operands meet here", notes=[note])
        tensors = list(run.tensors)
        if groups.get("da") is not None and len(tensors) >= 2:
            return self._contracted(run, tensors, int(groups["da"]), int(groups["db"]))
        given = run.op.argument("equation")
        equation = given.value if isinstance(given, Plain) and isinstance(given.value, str) else ""
        terms = [t.strip() for t in equation.replace(" ", "").split("->")[0].split(",")]
        notes = [
            f"the equation is {code(equation)}",
            *(tensor_account(run, t, n) + (f", as {code(terms[i])}" if i < len(terms) else "") for i, (n, t) in enumerate(tensors)),
        ]
        if groups.get("letters") and int(groups["operand"]) < len(tensors):
            return self._ranks(run, tensors[int(groups["operand"])], terms[int(groups["operand"])], notes)
        if len(tensors) != len(terms):
            headline = f"the equation {code(equation)} names {plural(len(terms), 'operand')}, the call gives {len(tensors)}"
            return run.diagnosis(self, headline[:80], run.op.span or run.raised, f"{len(terms)} terms, {len(tensors)} tensors", notes=notes,
                                 fixes=[Fix("give one tensor for each term of the equation")])  # fmt: skip
        clash = self._clash(tensors, terms)
        if clash is not None:
            return self._sizes(run, equation, terms, *clash, notes)
        lacking = sorted(set(re.findall(r"[A-Za-z]", equation.partition("->")[2])) - set("".join(terms)))
        detail = (
            f"subscript {code(lacking[0])} of the output is in no operand" if lacking else run.failure.message.removeprefix("einsum(): ")
        )
        headline = first_fitting(f"in the equation {code(equation)} {detail}", detail, detail[:80])
        return run.diagnosis(
            self,
            headline,
            run.op.span or run.raised,
            "the equation",
            notes=notes,
            fixes=[Fix("take the output's subscripts from the operands")],
        )

    def _ranks(self, run: Reading, one: Named, term: str, notes: list[str]) -> Diagnosis:
        name, tensor = one
        headline = first_fitting(
            f"{code(name)} has {plural(tensor.rank, 'dimension')}, its subscripts {code(term)} are {len(term)}",
            f"{plural(tensor.rank, 'dimension')} for the {len(term)} subscripts {code(term)}",
        )
        op = lost_rank(run.evidence, tensor, run.before)
        made = run.history.producer(tensor, run.before)
        if op is not None and op.span is not None:
            notes.append(f"{code(run.sources.segment(op.span))} ({place(op.span)}) gave {code(name)} the shape {shape_text(tensor.shape)}")
        elif made is not None and made.span is not None and made.phase != "data":
            notes.append(f"{code(name)} is made at {place(made.span)} by {code(run.sources.segment(made.span))}")
        written = next((e for e in run.sources.operands(run.raised) if e.text == name), None)
        span = op.span if op is not None and op.span is not None else written.span if written is not None else run.raised
        more = f"give {code(name)} {plural(len(term), 'dimension')} ({', '.join(term)}), or write {tensor.rank} subscripts for it"
        return run.diagnosis(
            self,
            headline,
            span,
            f"{shape_text(tensor.shape)} for subscripts {term}",
            trail=run.trail(tensor, "rank"),
            notes=notes,
            fixes=[(rank_kept(run, op, len(term)) if op is not None else None) or Fix(more)],
        )

    def _clash(self, tensors: list[Named], terms: list[str]) -> tuple[str, tuple[Named, int], tuple[Named, int]] | None:
        """The first subscript with two sizes, and where they stand."""
        seen: dict[str, tuple[Named, int]] = {}
        for one, term in zip(tensors, terms):
            for dim, letter in self._places(term, one[1].rank):
                size = (one[1].shape or ())[dim]
                other = seen.setdefault(letter, (one, dim))
                if size != 1 and (other[0][1].shape or ())[other[1]] not in (1, size):
                    return letter, other, (one, dim)
        return None

    def _places(self, term: str, rank: int) -> list[tuple[int, str]]:
        before, dots, after = term.partition("...")
        if not dots:
            return list(enumerate(before)) if len(before) == rank else []
        return [*enumerate(before), *((rank - len(after) + i, letter) for i, letter in enumerate(after))]

    def _sizes(
        self,
        run: Reading,
        equation: str,
        terms: list[str],
        letter: str,
        left: tuple[Named, int],
        right: tuple[Named, int],
        notes: list[str],
    ) -> Diagnosis:
        sizes = [(t.shape or ())[d] for (_, t), d in (left, right)]
        headline = first_fitting(
            f"subscript {code(letter)} is {sizes[0]} in {code(left[0][0])} and {sizes[1]} in {code(right[0][0])}",
            f"subscript {code(letter)} is {sizes[0]} and {sizes[1]}",
        )
        better = self._reordered(run, equation, terms)
        if better is not None:
            written = next((e for e in run.sources.arguments(run.raised) if e.text[1:-1] == equation), None)
            made = edits.set_value(run.sources, written.span, f"{written.text[0]}{better}{written.text[0]}") if written is not None else ()
            notes.append(f"with {code(better)} every subscript has one size: two dimensions are written in the other order")
            cause = written.span if written is not None else run.raised
            return run.diagnosis(
                self,
                headline,
                cause,
                f"{letter} is {sizes[0]} and {sizes[1]}",
                notes=notes,
                fixes=[Fix(f"write the equation as {code(better)}", made)],
            )
        found = conflict(run, [(name, tensor, dim) for (name, tensor), dim in (left, right)])
        return run.diagnosis(
            self, headline, found.cause, found.because, trail=found.trail, notes=[*notes[:1], *found.notes], fixes=size_fixes(run, found)
        )

    def _reordered(self, run: Reading, equation: str, terms: list[str]) -> str | None:
        """The equation with two subscripts of one operand exchanged, where exactly that makes all sizes agree."""
        tensors, fitting = list(run.tensors), []
        for number, term in enumerate(terms):
            for i, j in combinations(range(len(term)), 2):
                letters = list(term)
                letters[i], letters[j] = letters[j], letters[i]
                changed = [*terms[:number], "".join(letters), *terms[number + 1 :]]
                if changed != terms and "..." not in term and self._clash(tensors, changed) is None:
                    fitting.append(",".join(changed) + ("->" + equation.replace(" ", "").partition("->")[2] if "->" in equation else ""))
        return fitting[0] if len(set(fitting)) == 1 else None

    def _contracted(self, run: Reading, tensors: list[Named], first: int, second: int) -> Diagnosis:
        (left, a), (right, b) = tensors[:2]
        dims = first % max(1, a.rank), second % max(1, b.rank)
        sizes = (a.shape or ())[dims[0]], (b.shape or ())[dims[1]]
        headline = first_fitting(
            f"{code(left)} has {sizes[0]} in dimension {dims[0]}, {code(right)} {sizes[1]} in {dims[1]}: they are contracted",
            f"sizes {sizes[0]} and {sizes[1]} are contracted",
        )
        found = conflict(run, [(left, a, dims[0]), (right, b, dims[1])])
        return run.diagnosis(self, headline, found.cause, found.because, trail=found.trail, notes=found.notes, fixes=size_fixes(run, found))

    examples = (
        Example(
            {
                "train.py": """\
import torch

weight = torch.rand(5, 7)
x = torch.rand(3, 7)
print(torch.einsum("bi,ij->bj", x, weight))  #~ cause
""",
            },
            says=(
                "bi,ij->bj",
                "`i` is 7",
                "`weight`",
            ),
            becomes='print(torch.einsum("bi,ji->bj", x, weight))',
        ),
        Example(
            {
                "train.py": """\
import torch
from torch import nn

image_head = nn.Linear(30, 16)
text_head = nn.Linear(20, 12)  #~ cause
a = image_head(torch.rand(4, 30))
b = text_head(torch.rand(4, 20))
print(torch.einsum("id,jd->ij", a, b))
""",
            },
            says=(
                "`d` is 16",
                "text_head",
                "12",
            ),
            becomes="text_head = nn.Linear(20, 16)",
        ),
    )
    near_misses = (
        NearMiss(
            {
                "train.py": """\
import torch

print(torch.einsum("ij,jk->ik", torch.rand(2, 3), torch.rand(3, 4)).shape)
"""
            }
        ),
        NearMiss(
            {
                "train.py": """\
import torch

print(torch.rand(2, 3) @ torch.rand(4, 5))
"""
            },
            belongs_to="shape.matmul",
        ),
    )
