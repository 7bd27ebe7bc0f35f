"""The doors: `torchwhy run`, `fix`, `show`, `explain`, `env` and `codes`."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from . import __version__
from .output import say, write_out
from .program import BadInput, Program

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

    from .model import Report


class _Parser(argparse.ArgumentParser):
    """Answers bad input with one line and exit code 2."""

    def error(self, message: str) -> NoReturn:
        from .render.text import visible

        self.exit(2, f"{self.prog}: {visible(message)}\n")

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        """Help and version on stdout, like all that we print; else on stderr, where there is one."""
        if file is sys.stderr:
            with suppress(OSError, ValueError):
                if file is not None:
                    file.write(message)
        elif code := write_out(lambda out: out.write(message)):
            raise SystemExit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """The command `torchwhy`. Under `run`, the program's own exception or exit comes out of it."""
    options = _parser().parse_args(argv)
    if options.command in ("run", "fix"):
        return _run(options)
    try:
        return {"show": _show, "explain": _explain, "env": _env, "codes": _codes}[options.command](options)
    except BadInput as error:
        return _refuse(error)


def _run(options: argparse.Namespace) -> int:
    chosen = {
        "report": options.report,
        "format": options.format,
        "color": options.color,
        "quiet": options.quiet,
        "record": options.record,
        "verify": not options.no_verify,
        "budget": options.budget,
        "incident": options.incident,
    }
    try:
        program = _program(options)
        loaded = program.load()
    except BadInput as error:
        return _refuse(error)
    if options.command == "run":
        from .launch.command import become_program

        become_program(program, chosen)
    from .session import Options, Session

    session = Session(program, Options(**chosen), options.command, loaded)
    if options.command == "fix":
        from .fix import fix

        return fix(session, options.apply, options.allow_outside)
    session.run()
    return 0


def _take_own(options: argparse.Namespace) -> None:
    """`--apply` and `--allow-outside` may also be the last words of the line, after the program's own."""
    own = {"--apply": "apply", "--allow-outside": "allow_outside"}
    words = options.module or options.arguments
    while words and words[-1] in own:
        setattr(options, own[words.pop()], True)


def _program(options: argparse.Namespace) -> Program:
    if options.command == "fix":
        _take_own(options)
    if options.module:
        return Program(options.module[0], tuple(options.module[1:]), is_module=True)
    if options.script:
        return Program(options.script, tuple(options.arguments))
    raise BadInput(f"which program? torchwhy {options.command} SCRIPT, or torchwhy {options.command} -m MODULE")


def _show(options: argparse.Namespace) -> int:
    return _answer(_saved_report(options.file, options.incident), options)


def _answer(report: Report, options: argparse.Namespace) -> int:
    """The report in its file and on stdout, as the options have it."""
    from .render import show

    if options.report:
        from .render.json import write_report

        try:
            write_report(report, options.report)
        except OSError as error:
            raise _unwritable(options.report, error) from None
    return 0 if options.quiet else write_out(lambda out: show(report, options.format, out, options.color))


def _unwritable(file: str, error: OSError) -> BadInput:
    return BadInput(f"can't write {file!r}: {error.strerror or error}")


def _saved_report(file: str, again: bool) -> Report:
    """A report as it was said; an incident, and with `again` a report that holds one, is diagnosed here."""
    from .incident import Unreadable
    from .render.json import read_report

    try:
        with open(file, encoding="utf-8") as stream:
            report = read_report(stream.read())
    except OSError as error:
        raise BadInput(f"can't open {file!r}: {error.strerror or error}") from None
    except (Unreadable, UnicodeDecodeError) as error:
        raise BadInput(f"can't read {file!r}: {error}") from None
    if again and not report.incident:
        raise BadInput(f"{file!r} holds no incident: write it by --report FILE --incident")
    is_bare = not report.diagnoses and report.exit_code is None and report.incident
    return _diagnosed_again(report) if again or is_bare else report


def _diagnosed_again(report: Report) -> Report:
    from dataclasses import replace

    if report.evidence.from_text:
        from .explain import explain_evidence

        return replace(explain_evidence(report.evidence), incident=True)
    from .limited import think

    return think(replace(report, problems=())).report


def _explain(options: argparse.Namespace) -> int:
    """The page of a code, or the diagnosis of a text; a code wins over a file of the same name."""
    from .catalogue import load

    family = load().by_code(options.what)
    if family is not None:
        from .render.pages import show_page

        return write_out(lambda out: show_page(family, out, options.color))
    if options.what != "-" and not os.path.exists(options.what):
        raise BadInput(f"{options.what!r} is neither a code (torchwhy codes lists them) nor a file")
    from dataclasses import replace

    from .explain import explain_file

    return _answer(replace(explain_file(options.what), incident=options.incident), options)


def _env(options: argparse.Namespace) -> int:
    """Judge the installation. Files of the working directory are looked at, and never imported: a `random.py` there breaks much."""
    sys.path[:] = [folder for folder in sys.path if folder not in ("", os.getcwd())]
    from .environment.gather import gather
    from .environment.judge import judge, worst
    from .render.environment import as_json, show_checks, show_concise

    machine = gather()
    checks = judge(machine)
    text = as_json(checks, machine, worst(checks))
    if options.report:
        try:
            with open(options.report, "w", encoding="utf-8") as stream:
                stream.write(text)
        except OSError as error:
            raise _unwritable(options.report, error) from None
    if options.quiet:
        return 0
    if options.format == "json":
        return write_out(lambda out: out.write(text))
    show = show_checks if options.format == "terminal" else show_concise
    return write_out(lambda out: show(checks, out, options.color))


def _codes(options: argparse.Namespace) -> int:
    from .catalogue import load
    from .render.pages import show_codes

    return write_out(lambda out: show_codes(load().families, out, options.color))


def _refuse(error: BadInput) -> int:
    say(str(error))
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="torchwhy", description="Names the line to blame when PyTorch raises.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"torchwhy {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    run = commands.add_parser("run", allow_abbrev=False, help="run a program as python does, and diagnose its failure",
                              usage="torchwhy run [OPTIONS] (SCRIPT | -m MODULE) [ARGS...]")  # fmt: skip
    _add_output(run)
    _add_incident(run)
    run.add_argument("--no-verify", action="store_true", help="do not run proposed fixes")
    _add_program(run)

    fix = commands.add_parser("fix", allow_abbrev=False, help="run a program, and show the best verified fix as a diff",
                              usage="torchwhy fix [OPTIONS] (SCRIPT | -m MODULE) [ARGS...] [--apply]")  # fmt: skip
    _add_output(fix)
    _add_incident(fix)
    fix.add_argument("--apply", action="store_true", help="write the fix to the files (also as the last word)")
    fix.add_argument("--allow-outside", action="store_true", help="write to files of installed packages too")
    fix.set_defaults(no_verify=False)
    _add_program(fix)

    show = commands.add_parser("show", allow_abbrev=False, help="a saved report or incident, rendered again")
    _add_output(show)
    show.add_argument("--incident", action="store_true", help="diagnose again, from the incident that the file holds")
    show.add_argument("--quiet", action="store_true", help="nothing on the terminal")
    show.add_argument("file", metavar="FILE")

    explain = commands.add_parser("explain", allow_abbrev=False, help="the page of a code, or the diagnosis of a printed failure")
    _add_output(explain)
    _add_incident(explain)
    explain.add_argument("--quiet", action="store_true", help="nothing on the terminal")
    explain.add_argument(
        "what", metavar="CODE | FILE | -", help="TW0102 or shape.linear; a traceback or a whole job log; - reads one from standard input"
    )

    env = commands.add_parser("env", allow_abbrev=False, help="the installation judged: driver, CUDA, GPU, packages, limits")
    _add_output(env)
    env.add_argument("--json", dest="format", action="store_const", const="json", help="as JSON, with the facts that were found")
    env.add_argument("--quiet", action="store_true", help="nothing on the terminal")

    codes = commands.add_parser("codes", allow_abbrev=False, help="the catalogue")
    codes.add_argument("--color", choices=("auto", "always", "never"), default="auto")
    return parser


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise ValueError(text)
    return seconds


def _add_program(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quiet", action="store_true", help="no diagnosis on the terminal")
    parser.add_argument(
        "--record", choices=("adaptive", "full", "off"), default="adaptive", help="how much is recorded (default: %(default)s)"
    )
    parser.add_argument(
        "--budget",
        type=_seconds,
        metavar="SECONDS",
        help="CPU time for trials, at least 20 by default, more where the program takes longer to fail; above 5 also for the reasoning",
    )
    parser.add_argument("-m", dest="module", metavar="MODULE", nargs=argparse.REMAINDER, help="run a module; the rest are its arguments")
    parser.add_argument("script", nargs="?", metavar="SCRIPT", help="the program; everything after it belongs to the program")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGS")


def _add_incident(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--incident",
        action="store_true",
        help="the report also holds what is needed to diagnose it elsewhere: all that was seen, whole files",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--report", metavar="FILE", help="write the report as JSON, also when nothing was found")
    parser.add_argument("--format", choices=("terminal", "concise", "json"), default="terminal")
    parser.add_argument("--color", choices=("auto", "always", "never"), default="auto")
