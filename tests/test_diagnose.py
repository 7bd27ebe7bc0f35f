"""Asking, ranking and surviving families; and whether PyTorch was the reason at all."""

from __future__ import annotations

import re
from typing import Any

from torchwhy.catalogue import faults
from torchwhy.diagnose import diagnose, is_torchs, is_torchs_doing, judge, needs
from torchwhy.family import Example, Family, Trigger
from torchwhy.model import Call, Confidence, Diagnosis, Edit, Evidence, Failure, Fix, Frame, Label, OpRecord, Report, Span


class Sure(Family):
    """Why: x. Fix: y."""

    code = "TW5002"
    title = "sure"
    triggers = (Trigger("bad (?P<what>.*)"),)
    needs = ("literals",)
    confidence = Confidence.CERTAIN
    examples = (Example({}),)

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        span = Span("a.py", 1, 0, 1, 1)
        fix = Fix("mend", edits=(Edit(span, "y"),), applicability="safe")
        assert evidence.failure is not None
        return Diagnosis(
            self.code,
            self.slug,
            self.title,
            f"{match['what']} {evidence.failure.error_type}",
            Label(span),
            fixes=(fix,),
            confidence=self.confidence,
        )


class Unsure(Sure):
    code = "TW5001"
    confidence = Confidence.POSSIBLE


class Special(Unsure):
    code = "TW5003"
    rank = 1


class Broken(Sure):
    code = "TW5000"

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        raise ZeroDivisionError("oops")


class Silent(Sure):
    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        return None


class Last(Sure):
    code = "TW5004"
    rank = -1
    needs = ("tried",)


FAILURE = Failure("RuntimeError", "bad luck")
EVIDENCE = Evidence(failure=FAILURE, sources=(("a.py", "x\n"),))


def codes(evidence: Evidence, *families: Family) -> list[str]:
    return [d.code for d in diagnose(evidence, families).diagnoses]


def test_the_order_is_rank_then_confidence_then_code() -> None:
    assert codes(EVIDENCE, Unsure(), Sure(), Special()) == ["TW5003", "TW5002", "TW5001"]


def test_the_deepest_exception_goes_first() -> None:
    evidence = Evidence(failure=Failure("Outer", "bad end", caused_by=Failure("Inner", "bad start")))
    answer = diagnose(evidence, [Sure()])
    assert [d.headline for d in answer.diagnoses] == ["start Inner"]


def test_a_family_that_raises_is_a_problem_and_no_more() -> None:
    answer = diagnose(EVIDENCE, [Broken(), Sure(), Silent()])
    assert [d.code for d in answer.diagnoses] == ["TW5002"]
    assert len(answer.problems) == 1 and "ZeroDivisionError: oops" in answer.problems[0]


def test_nothing_matched_is_an_honest_unknown() -> None:
    assert codes(Evidence(failure=Failure("RuntimeError", "other")), Sure()) == []
    assert codes(Evidence()) == []
    assert codes(Evidence(failure=Failure("KeyboardInterrupt", "bad")), Sure()) == []


def test_needs_are_asked_only_for_matches() -> None:
    assert needs(FAILURE, [Sure(), Unsure()]) == ("literals",)
    assert needs(Failure("E", "other"), [Sure()]) == ()


def test_a_last_resort_is_asked_only_where_no_other_answered_and_torch_raised() -> None:
    torchs = Evidence(failure=Failure("RuntimeError", "bad luck", frames=(Frame(Span("torch/x.py", 1), "torch"),)))
    assert codes(torchs, Last(), Unsure()) == ["TW5001"]
    assert codes(torchs, Last(), Silent()) == ["TW5004"]
    assert codes(EVIDENCE, Last()) == []
    assert needs(FAILURE, [Last()]) == ("tried",)
    assert needs(FAILURE, [Last(), Unsure()], diagnose(torchs, [Last(), Unsure()]).diagnoses) == ("literals",)


def test_a_call_refused_at_once_is_torchs() -> None:
    def evidence(origin: Any) -> Evidence:
        return Evidence(failure=Failure("TypeError", "bad", frames=(Frame(Span("a.py", 1), origin),)), call=Call("add"))

    assert is_torchs(evidence("user")) and not is_torchs(evidence("library"))


def test_fixes_get_their_diff() -> None:
    fix = judge(Report("run", "failed", 1, EVIDENCE), [Sure()]).diagnoses[0].fixes[0]
    assert "-x\n+y\n" in fix.diff and fix.applicability == "safe"
    lost = judge(Report("run", "failed", 1, Evidence(failure=FAILURE)), [Sure()]).diagnoses[0].fixes[0]
    assert (lost.diff, lost.applicability) == ("", "display-only")


def frame(origin: str, line: int = 1) -> Frame:
    return Frame(Span("a.py", line), origin)  # type: ignore[arg-type]


def test_whose_doing_it_was() -> None:
    op = OpRecord(1, "add", where=(Span("a.py", 3, 0, 4, 2),))
    assert is_torchs_doing(Failure("RuntimeError", "", frames=(frame("user"), frame("torch"))))
    assert is_torchs_doing(Failure("RuntimeError", "", frames=(frame("user", 3),), op=op))
    assert is_torchs_doing(Failure("RuntimeError", "", frames=(frame("user", 4),), op=op))
    assert is_torchs_doing(Failure("OutOfMemoryError", "", error_module="torch"))
    assert not is_torchs_doing(Failure("ValueError", "", frames=(frame("user", 9),), op=op)), (
        "raised by the program, within a call of torch"
    )
    assert not is_torchs_doing(Failure("ValueError", "", frames=(frame("torch"), frame("user"))))
    assert not is_torchs_doing(Failure("KeyboardInterrupt", "", frames=(frame("torch"),)))
    assert not is_torchs_doing(None)


def test_the_catalogue_tells_its_faults() -> None:
    class Odd(Sure):
        code = "TW50"
        title = ""

    said = " / ".join(faults([Sure(), Sure(), Odd()]))
    assert "TW5002 is the code of" in said and "'TW50'" in said and "has no title" in said
