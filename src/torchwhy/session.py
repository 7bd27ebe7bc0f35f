"""A run from start to end: prepare, run the program, and after a failure gather, diagnose, show, write.

The program's exception leaves this file as it came, so that the interpreter shuts down as it always does. What we have to say is said in an
exception hook, after the program's own; the report of a run that ended well is written by the last of the exit handlers.
A fault of ours is kept in `problems` and never reaches the program.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from .arrival import Arrival
from .launch.apart import Apart
from .processes.watch import Watch
from .program import Loaded, Program
from .record.kinds import forget_messages, is_a

if TYPE_CHECKING:
    from .evidence.refused import Refused
    from .model import Environment, Evidence, Report
    from .record.recorder import Recorder
    from .replay.again import Steps
    from .replay.pristine import Pristine, Show, Start


@dataclass(frozen=True)
class Options:
    report: str | None = None
    format: str = "terminal"
    color: str = "auto"
    quiet: bool = False
    record: Literal["adaptive", "full", "off"] = "adaptive"
    verify: bool = True
    budget: float | None = None
    """CPU seconds for trials; the reasoning, which has 5, may take as long."""
    incident: bool = False
    """Whether the report also holds the whole evidence."""
    told_in: str | None = None
    """Where the failure is told to the process that started this one, instead of being judged here."""


class Session:
    """One `torchwhy run`."""

    def __init__(self, program: Program, options: Options, command: str = "run", loaded: Loaded | None = None) -> None:
        self.apart = Apart()
        self.loaded = loaded or program.load()
        self.options = options
        self.command = command
        self.process = os.getpid()
        self.recorder: Recorder | None = None
        self.evidence: Evidence | None = None
        self.report: Report | None = None
        self.error: BaseException | None = None
        self.refused: Refused | None = None
        self.exit_code: int = 0
        self.problems: list[str] = []
        self.started = self.ended = self.arrived = self.gathering_s = self.failed_at = 0.0
        self.arrived_cpu = self.ended_cpu = 0.0
        self.finished = self.interrupted = self.stopped = False
        self.ending: Evidence | None = None
        self.when_ended: list[Callable[[], None]] = []
        self.when_over: list[Callable[[], None]] = []
        """What the interpreter does once the program has ended well or its failure has been shown."""
        self.is_below = False
        """Whether the program runs below frames of ours."""
        self.notes: tuple[str, ...] = ()
        self.in_program = False
        self.arrival = Arrival("torch", self._torch_is_here)
        self.watch = Watch({"record": options.record}, self._forked, options.told_in or "")
        self.start: Start | None = None
        self.pristine: Pristine | None = None

    # ── the steps ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def run(self) -> None:
        """Run the program to its end, below frames of ours; what it raises comes out."""
        self.begin()
        self.go()

    def go(self) -> None:
        """The program itself, below frames of ours."""
        self.is_below = True
        try:
            self.loaded.execute()
        except BaseException as error:
            self.end(error)
            raise
        self.end(None)

    def begin(self) -> None:
        """Get ready, before anything of the program's."""
        atexit.register(self.finish)
        really_exit, os._exit = os._exit, self._exit  # type: ignore[assignment]
        self._really_exit = really_exit
        if self.options.record != "off":
            self._note_start()
            self.watch.begin()
            self.arrival.await_it()
        self.started = time.perf_counter()

    def end(self, error: BaseException | None) -> None:
        """The program has come to its end, or `error` is about to leave it."""
        with self.apart:
            self._end(error)

    def _end(self, error: BaseException | None) -> None:
        for undo in self.when_ended:
            undo()
        if error is None:
            self._ended(0)
            self._is_over()
        elif is_a(error, SystemExit):
            self._left(error)
        else:
            self.interrupted = type(error) is KeyboardInterrupt  # of another kind, Python does not end by the signal
            self._ended(130 if self.interrupted else 1)
            self.error = error
            self._note_failing(error)
            self._follow(getattr(sys, "excepthook", None))

    def _left(self, end: SystemExit) -> None:
        from .replay.trial import failure_in

        self._ended(_exit_code_of(end))
        failure = failure_in(end)
        if failure is not end and self._is_ours():
            self._note_failing(failure)
            self._gather(failure)
        elif self.exit_code and self.watch.started_any:
            with self._guard("the end could not be described"):
                from .trace import describe

                self.ending = describe(end)

    def _follow(self, hook: Any) -> None:
        """Speak after `hook`, the program's own way of showing an exception (mostly Python's)."""
        if not self.is_below and hook is not sys.__excepthook__:  # its frames, and what it raises, are to be its own
            with self._guard("the traceback could not be cleaned"):
                from .trace import take_us_off

                if self.error is not None:
                    take_us_off(self.error)
            atexit.register(self.finish)
            self._prepare_trials()
            return

        def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
            with self.apart:
                with self._guard("the traceback could not be cleaned"):
                    from .trace import take_us_off

                    trace = sys.last_traceback = take_us_off(error)
                sys.excepthook = hook
                self._prepare_trials()
            self.error = error
            try:
                hook(kind, error, trace)
            finally:
                self.finish()
                self._is_over()

        sys.excepthook = show

    def _is_over(self) -> None:
        for deed in self.when_over:
            deed()
        self.when_over.clear()

    def _gather(self, error: BaseException) -> None:
        began = time.perf_counter()
        self.error = error
        with self._guard("the failure could not be described"):
            from .trace import describe

            self.evidence = describe(error)
            from .processes.tell import gathered

            self.evidence = gathered(error, self.recorder, self.refused)
        self.gathering_s = time.perf_counter() - began

    def finish(self) -> None:
        """Diagnose, show, write; once, and only in the process that the user started."""
        if self.finished or not self._is_ours():
            return
        with self.apart:
            self._finish()

    def _finish(self) -> None:
        self.finished = True
        if self.error is not None and self.evidence is None:
            self._gather(self.error)
        os._exit = self._really_exit
        self.arrival.give_up()
        with self._guard("the recorder could not be stopped"):
            if self.recorder is not None:
                self.recorder.stop()
            self.watch.end()
        if self.options.told_in is not None:
            self._tell_parent(self.options.told_in)
        else:
            self._hear_processes()
        if self.evidence is not None or self.options.report is not None or self.command == "fix":
            self.report = self._judged()
            self._tell(self.report)
        with self._guard("the waiting process could not be ended"):
            self.error = self.refused = None
            forget_messages()
            if self.pristine is not None:
                self.pristine.close()
        if self.interrupted:
            _keep_interrupted()

    def _tell_parent(self, path: str) -> None:
        with self._guard("the failure could not be told"):
            if self.evidence is not None and self.error is not None:
                from .processes import folder, tell

                evidence = tell.in_full(self.evidence, self.error, self.refused)
                folder.write(path, folder.Told(self.failed_at, f"process {self.process}", "program", evidence))
        self.evidence = None

    def _hear_processes(self) -> None:
        """What the processes that the program started have told, where this is why it failed."""
        if not self.watch.started_any:
            return
        with self._guard("the program's other processes could not be heard"):
            from .diagnose import is_torchs
            from .processes.folder import read, remove
            from .processes.order import killed, order

            told, faults = read(self.watch.path)
            remove(self.watch.path)
            self.problems += faults
            if not self.exit_code:  # a program that ends well has dealt with what it started by `subprocess`
                told = [one for one in told if one.kind == "process"]
            known = order(self.evidence, self.failed_at, told, self.evidence is not None and is_torchs(self.evidence))
            if known is None and not told:
                known = killed(self._ending(), self.watch.ended_by_signal())
            if known is not None:
                self.evidence, self.notes, self.refused = known.evidence, known.notes, None
                self.in_program = known.kind == "program"

    def _ending(self) -> Evidence | None:
        """How this process ended, with the texts of its files."""
        known = self.evidence or self.ending
        if known is None or known.sources or "torch" not in sys.modules:
            return known
        from .evidence.gather import own_files, read_sources

        return replace(known, sources=read_sources(own_files()))

    def _tell(self, report: Report) -> None:
        with self._guard("the diagnosis could not be shown"):
            is_found = report.outcome in ("failed", "findings") and self.evidence is not None
            if is_found and not self.options.quiet and sys.stderr is not None:
                from .render import show

                show(report, self.options.format, sys.stderr, self.options.color)
        with self._guard("the report could not be written"):
            if self.options.report is not None:
                from .output import say
                from .render.json import write_report

                try:
                    write_report(replace(self._with_problems(report), incident=self.options.incident), self.options.report)
                except OSError as error:
                    say(f"can't write the report {self.options.report!r}: {error.strerror or error}")

    def _judged(self) -> Report:
        from .model import Report, Timing

        began = time.perf_counter()
        report = Report(self.command, "failed" if self.exit_code else "passed", self.exit_code, self._known())
        with self._guard("the failure could not be diagnosed"):
            if self.evidence is not None:
                from .diagnose import with_notes

                report = self._with_blindness(with_notes(self._reasoned(report), self.notes))
        if report.outcome == "not-torch" and not self.exit_code:  # what another process raised is the program's own matter then
            report = Report(self.command, "passed", 0, report.evidence)
        timing = Timing(self.ended - self.started, time.perf_counter() - began + self.gathering_s)
        return self._with_problems(self._proven(replace(report, timing=timing)))

    def _with_blindness(self, report: Report) -> Report:
        """Where torch was there and nothing was recorded, this is said, and nobody knows that it was not torch."""
        if report.evidence.recording.mode != "off":
            return report
        is_off = self.options.record == "off"
        why = "recording is off" if is_off else "torch was loaded in a way that was not seen"
        said = f"nothing was recorded: {why}"
        if not is_off:
            self.problems.append(said)
        if report.diagnoses:
            from .diagnose import with_notes

            return with_notes(report, (said,))
        return replace(report, outcome="failed", remarks=(*report.remarks, said))

    def _reasoned(self, report: Report) -> Report:
        """The report judged within the limit; once more with the dear evidence that families ask for."""
        from .limited import INTERRUPTED, SECONDS, think, unjudged

        if self.stopped:
            return unjudged(report, INTERRUPTED)
        spent = _cpu_time() - self.ended_cpu  # the user waits for the gathering as well
        limit = max(1.0, max(SECONDS, self.options.budget or 0) - spent)
        thought = think(report, limit)
        self.stopped = thought.interrupted
        if thought.report.outcome != "failed" or self.refused is None or self.error is None:
            return thought.report
        if "tried" not in thought.needs:
            return thought.report
        from .evidence.trying import tried

        evidence = replace(thought.report.evidence, tried=tried(self.refused, self.error))
        again = think(replace(thought.report, evidence=evidence, problems=()), max(1.0, limit - thought.seconds))
        self.stopped = again.interrupted
        return thought.report if again.ended else again.report

    def _proven(self, report: Report) -> Report:
        """The report with its fixes run, where that was asked for and can be done safely."""
        if not self.options.verify or not report.diagnoses or self.stopped:
            return report
        began = time.perf_counter()
        with self._guard("the fixes could not be run"):
            from .repair.budget import Spent
            from .repair.proof import prove, unproven

            if self.in_program:
                report = unproven(report, "it failed in a program that this one starts, and a trial run may start none")
            elif not self.arrived:
                report = unproven(
                    report, "torch was not loaded, or not watched, in the process that was started: there is nothing to run again from"
                )
            elif self.pristine is None:
                report = unproven(report, "this platform can't keep a trial run from doing harm")
            else:
                took = Spent(self.ended_cpu - self.arrived_cpu, self.ended - self.arrived)
                try:
                    with self.apart.left():
                        report = prove(report, self.pristine.run, self._diagnosed, self._steps, took, self.options.budget)
                except KeyboardInterrupt:
                    report = unproven(report, "interrupted")
        return replace(report, timing=replace(report.timing, verification_s=time.perf_counter() - began))

    # ── its parts ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def _note_start(self) -> None:
        with self._guard("the start could not be noted"):
            if self.options.verify:
                from .replay.pristine import Start

                self.start = Start.now()

    def _torch_is_here(self) -> None:
        self.arrived, self.arrived_cpu = time.perf_counter(), _cpu_time()
        with self._guard("trial runs could not be prepared"):
            if self.start is not None:
                from .replay.pristine import keep_pristine

                self.pristine = keep_pristine(self._run_again, self.start)
        self._start_recorder()

    def _run_again(self, texts: Mapping[str, bytes], show: Show | None) -> None:
        """The program with other texts, in a child; `show` is given the evidence of its failure."""
        main = os.path.abspath(self.loaded.program.target)
        program = replace(self.loaded, source=self.loaded.source and texts.get(main, self.loaded.source))
        from .processes.again import run_again

        run_again(program, self.options.record if show is not None else "off", show)

    def _diagnosed(self, evidence: Mapping[str, Any]) -> Report:
        """What is said of a failure that came in a trial."""
        from .incident import from_plain
        from .limited import think
        from .model import Evidence, Report

        thought = think(Report(self.command, "failed", 1, from_plain(evidence, Evidence)))  # type: ignore[arg-type]
        if thought.interrupted:
            raise KeyboardInterrupt
        return thought.report

    def _steps(self) -> Steps | None:
        """What of the program can run again from where it failed, in children of this process."""
        from .evidence.frames import walk
        from .record.traceback import strip_traceback
        from .replay.again import Steps

        if self.error is None:
            return None
        return Steps(walk(strip_traceback(self.error.__traceback__)))

    def _prepare_trials(self) -> None:
        with self._guard("trial runs could not be prepared"):
            if self.pristine is not None and self._is_ours():
                from .replay.pristine import libraries

                self.pristine.prepare(libraries())

    def _start_recorder(self) -> None:
        with self._guard("the recorder could not be started"):
            from .record.recorder import Recorder

            recorder = Recorder(self.options.record)
            recorder.start()
            self.recorder = recorder

    def _note_failing(self, error: BaseException) -> None:
        with self._guard("the failing call could not be noted"):
            if self.recorder is not None and self._is_ours():
                self.recorder.failing(error)
                if is_a(error, Exception):
                    from .evidence.refused import refused_call

                    self.refused = refused_call(error, self.recorder)

    def _forked(self, path: str) -> None:
        """In a forked process of the program's own."""
        from .processes.tell import tell_what_is_printed

        if self.recorder is not None:
            self.recorder.go_on()
        tell_what_is_printed(path, lambda: self.recorder)

    def _ended(self, exit_code: int) -> None:
        self.ended, self.failed_at = time.perf_counter(), time.time()
        self.ended_cpu = _cpu_time()
        self.exit_code = exit_code

    def _exit(self, status: int) -> None:
        """`os._exit` skips every exit handler; the report is written all the same."""
        if self._is_ours() and not self.finished:
            self._ended(status)
            self.finish()
        self._really_exit(status)

    def _known(self) -> Evidence:
        from .model import Evidence

        known = self.evidence or Evidence()
        return known if known.environment.python else replace(known, environment=environment())

    def _with_problems(self, report: Report) -> Report:
        return replace(report, problems=tuple(dict.fromkeys((*report.problems, *self.problems))))

    def _is_ours(self) -> bool:
        return os.getpid() == self.process

    @contextmanager
    def _guard(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.problems.append(f"{what}: {type(error).__name__}: {error}{_place(error)}")
        except KeyboardInterrupt:  # with the program at its end, this is meant for us: what is known by now is said
            if not self.ended:
                raise
            self.stopped = True
            self.problems.append(f"{what}: interrupted")


def _place(error: Exception) -> str:
    """Where in our code, for who mends it."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    return f" ({os.path.basename(last[0].filename)}, line {last[0].lineno})" if last else ""


def _cpu_time() -> float:
    """Seconds of this process and of its children that are over."""
    return sum(os.times()[:4])


def environment() -> Environment:
    """What can be said without torch, and torch's version where the program loaded it."""
    import platform

    from . import __version__
    from .model import Environment

    torch = sys.modules.get("torch")
    version = str(getattr(torch, "__version__", "")) or None
    return Environment(
        torchwhy=__version__,
        torch=version,
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.release()} {platform.machine()}",
    )


def _keep_interrupted() -> None:
    """Python ends by the signal where the last text that it ran was interrupted; imports of ours (dataclasses) have run some since."""
    with suppress(KeyboardInterrupt):
        exec("raise KeyboardInterrupt")


def _exit_code_of(end: SystemExit) -> int:
    if end.code is None:
        return 0
    return int.__index__(end.code) if is_a(end.code, int) else 1
