"""`torchwhy fix`: run, then the best verified fix as a unified diff, and written where that was asked for."""

from __future__ import annotations

import sys
from contextlib import suppress

from .model import Fix, Report
from .output import say, write_out
from .render.text import encodable, visible
from .session import Session


def fix(session: Session, apply: bool, allow_outside: bool) -> int:
    """0: a verified fix was shown (and written), or the program needs none; 1: there is none; 2: it was not written."""
    _run(session)
    session.finish()
    report = session.report
    if report is None or report.outcome == "passed":
        return _say("the program ran to its end; there is nothing to fix", 0)
    best = best_fix(report)
    if best is None:
        return _say("no fix is verified", 1)
    code = write_out(lambda out: out.write(encodable(_shown(best.diff) if out.isatty() else best.diff, out)))
    if not apply:
        return code
    from .repair.writing import Refused, write

    try:
        return _say("written: " + ", ".join(write(best, report.evidence, allow_outside)), code)
    except Refused as refused:
        return _say(f"not written: {refused}", 2)


def _shown(diff: str) -> str:
    """For people; a program that reads the diff gets it as it is."""
    return "".join(f"{visible(line)}\n" for line in diff.split("\n")[:-1])


def best_fix(report: Report) -> Fix | None:
    """The first that holds and does not only hide the failure."""
    fixes = (fix for diagnosis in report.diagnoses for fix in diagnosis.fixes)
    return next((fix for fix in fixes if fix.verification.outcome == "gone" and fix.diff and not fix.hides), None)


def _run(session: Session) -> None:
    """The program, its failure shown as the interpreter would."""
    try:
        session.run()
    except SystemExit as leaving:
        if leaving.code is not None and not isinstance(leaving.code, int):
            print(leaving.code, file=sys.stderr)
    except Exception as error:
        sys.excepthook(type(error), error, error.__traceback__)
    if sys.stdout is not None:
        with suppress(OSError, ValueError):  # what the program left can't be written: our own text meets the same, and says so
            sys.stdout.flush()


def _say(text: str, code: int) -> int:
    say(text)
    return code
