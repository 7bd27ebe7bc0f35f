"""DistributedDataParallel lost track of a parameter: unused, used twice, or not the same on all ranks.

Typical text (TW0903):

{example}

Why: DDP exchanges every gradient while backward runs, so each parameter must get exactly one gradient a step, and the ranks must hold the same parameters. A layer that `forward` does not use gets none; one that is
used again inside reentrant checkpointing, or through two forwards of one backward, gets two; a branch that differs between ranks leaves them out of step.

Fix: remove the unused layer, or pass `find_unused_parameters=True` (slower, for layers that are unused in some steps only); `checkpoint(..., use_reentrant=False)`; `static_graph=True`; wrap in DDP after everything is on its
device, and save or evaluate `model.module`.

Messages: `Expected to have finished reduction in the prior iteration before starting a new one`; `Expected to mark a variable ready only once`; `params[0] in this process with sizes … appears not to match sizes of the same param in process 0`;
`DistributedDataParallel is not needed when a module doesn't have any parameter that requires a gradient`; `device_ids and output_device arguments only work with single-device`; `'DistributedDataParallel' object has no attribute`.

Not to be confused with: `dist.collective`, `autograd.inplace-saved` (buffers written by a second forward).
"""

from __future__ import annotations

import re

from ...family import Family, LogExample, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix
from ...reason import edits
from ...reason.structure import calls_of
from ...reason.layers_unused import unused_layers
from ...reason.members import parameters_of
from ...reason.printed import find
from ...reason.reading import Cause, Reading, reading
from ...reason.replicas import frozen_under, left_out_under, reentrant_checkpoints
from ...reason.wording import code, first_fitting, listed, place


class Ddp(Family):
    code = "TW0903"
    title = "DistributedDataParallel lost track of a parameter"
    rank = 1
    triggers = (
        Trigger(r"Expected to have finished reduction in the prior iteration"),
        Trigger(r"(?P<twice>mark a variable ready only once|marked (?:as )?ready twice)"),
        Trigger(
            r"params\[(?P<index>\d+)\] in this process with (?:sizes|shape) (?P<sizes>\[[\d, ]*\]) appears not to match|(?P<count>DDP expects same model across all ranks[^\n]*)"
        ),
        Trigger(r"(?P<frozen>DistributedDataParallel is not needed)"),
        Trigger(r"(?P<devices>device_ids and output_device arguments only work|DistributedDataParallel device_ids)"),
        Trigger(r"'DistributedDataParallel' object has no attribute '(?P<attribute>\w+)'"),
        Trigger(
            r"(?P<changed>[Mm]odule parameters? (?:have been )?(?:changed|modified)|static graph|expect_autograd_hooks_|find_unused_parameters)"
        ),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        groups = match.groupdict()
        if groups.get("twice"):
            return self._twice(run)
        if groups.get("index") or groups.get("count"):
            return self._unlike(run, groups["sizes"] or "")
        if groups.get("frozen"):
            return self._plain(
                run,
                "the module given to DDP has no parameter that requires a gradient",
                ["all of its parameters are frozen: DDP has nothing to reduce"],
                "wrap only modules that are trained, or freeze after wrapping",
            )
        if groups.get("devices"):
            return self._on_devices(run)
        if groups.get("attribute"):
            name = groups["attribute"]
            return self._plain(
                run,
                f"{code(name)} is asked of the DDP wrapper, not of the model in it",
                ["DDP wraps the model: its own attributes are at `.module`"],
                f"use model.module.{name}",
            )
        return self._unused(run)

    def _on_devices(self, run: Reading) -> Diagnosis:
        where = find(r"module parameters \{([^}]*)\}", run.failure.message, 1)
        without = tuple(e for name in ("device_ids", "output_device") for e in edits.remove_keyword(run.sources, run.raised, name))
        ways = [
            Fix("leave `device_ids` out: on the CPU there is none", without),
            Fix("move the module to its GPU before it is wrapped: `model.to(local_rank)`"),
        ]
        return run.diagnosis(
            self,
            "`device_ids` is given, but the module is not on that one GPU",
            run.raised,
            "",
            notes=[
                f"the module's parameters are on {code(where)}" if where else "",
                "`device_ids` is for a module on one GPU; on the CPU it must be left out",
            ],
            fixes=ways[::-1] if run.evidence.from_text else ways,
            confidence=Confidence.LIKELY,
        )

    def _unlike(self, run: Reading, sizes: str) -> Diagnosis:
        """The ranks' models differ: in the sizes of a parameter, or in how many are trained."""
        said = run.failure.message.strip().splitlines()[0]
        counted = re.search(r"Rank (\d+) has (\d+) params, while rank (\d+) has (?:inconsistent )?(\d+)", said)
        headline, cause, notes = f"the ranks hold different parameters: {code(sizes or 'other counts')} here", Cause(run.raised), []
        because, fix = "", "build the same model on every rank"
        if counted is not None:
            headline = f"rank {counted[1]} trains {counted[2]} parameters, rank {counted[3]} trains {counted[4]}"
            notes.append("DDP counts the parameters that require grad: they must be the same ones on every rank")
            frozen = frozen_under(run.sources)
            if len(frozen) == 1:
                cause, because = Cause(frozen[0].span), "changes what is trained, on some ranks only"
                notes.append(f"`requires_grad` is changed at {place(frozen[0].inner)} only where {code(frozen[0].test)}: most likely this is not so on every rank")
                fix = f"let one rank decide whether {code(frozen[0].test)} and broadcast the answer, or give every rank the same files and data"
        notes += [f"torch says: {code(said)}", "the model is built from something that differs between ranks (the rank, data, a file, a config, a vocabulary)"]
        return self._plain(run, headline, notes, fix, cause, because)

    def _unused(self, run: Reading) -> Diagnosis:
        message = run.failure.message
        indices = find(r"did not receive grad for rank \d+: ([\d ]+)", message, 1).split()
        names = find(r"Parameters? which did not receive grad for rank \d+: ([\w., ]+)", message, 1).strip(" ,.")
        names = names or ", ".join(_named(run, [int(number) for number in indices]))
        layers = unused_layers(run.sources)
        notes = ["every parameter must get a gradient in every step: DDP waits for those that do not come"]
        if indices:
            notes.append(f"without a gradient: the parameters number {', '.join(indices)} (in the order of `model.named_parameters()`)")
        if names:
            notes.append(f"without a gradient: {code(names)}")
        else:
            notes.append("`TORCH_DISTRIBUTED_DEBUG=INFO` prints their names")
        unused = Cause(layers[0].span) if len(layers) == 1 or layers and indices else None
        told = layers[0].name if unused else ""
        if layers:
            notes.append(
                f"{listed([f'{code(x.name)} at {place(x.span)}' for x in layers[:4]])} {'is' if len(layers) == 1 else 'are'} built and never used in `forward`"
            )
        built = [*calls_of(run.sources, "DistributedDataParallel"), *calls_of(run.sources, "DDP")]
        skipped = left_out_under(run.sources, names.split(", ")) if unused is None else None
        if skipped is not None:
            notes.append(f"the loop over these layers leaves some out at {place(skipped.inner)} where {code(skipped.test)}: in that step they take no part in the loss")
        cause = unused or (Cause(skipped.span) if skipped is not None else Cause(built[0]) if len(built) == 1 else None)
        first, *more = names.split(", ")
        headline = (
            f"{code(told)} gets no gradient: `forward` does not use it"
            if told
            else f"{code(first)}{f' and {len(more)} more' if more else ''} get{'' if more else 's'} no gradient in a step"
            if first
            else f"{len(indices) or 'some'} parameters get no gradient in a step"
        )
        return run.diagnosis(
            self,
            first_fitting(headline, "some parameters get no gradient in a step"),
            cause or run.raised,
            "built, and never used" if unused else "leaves layers out" if skipped else "does not look for unused parameters" if cause else "the next step finds the last one unfinished",
            notes=notes,
            fixes=[
                *([] if skipped else [Fix("remove the layer that is not used, or use its output in the loss", (), "display-only")]),
                Fix(
                    "pass find_unused_parameters=True to DistributedDataParallel",
                    edits.set_keyword(run.sources, built[0], "find_unused_parameters", "True") if len(built) == 1 else (),
                    changes="each step searches the graph, which is slower",
                ),
            ],
            confidence=Confidence.LIKELY,
        )

    def _twice(self, run: Reading) -> Diagnosis:
        name = find(r"with name ([\w.]+) has been marked", run.failure.message, 1)
        index = find(r"Parameter at index (\d+)", run.failure.message, 1)
        headline = f"{code(name) if name else 'parameter ' + index if index else 'a parameter'} gets two gradients in one step"
        notes = [
            "reentrant checkpointing (`use_reentrant=True`) or a layer that is used in two forwards makes its hook fire twice",
            "`find_unused_parameters=True` together with checkpointing does it too",
        ]
        entered = reentrant_checkpoints(run.sources)
        if len(entered) != 1:
            return self._plain(run, headline, notes, "use checkpoint(..., use_reentrant=False), or static_graph=True in DistributedDataParallel")
        notes.insert(0, f"the checkpoint at {place(entered[0])} is reentrant: it runs a backward of its own each time, and a shared or repeated layer is ready once in each")
        fixes = [Fix("checkpoint with `use_reentrant=False`", edits.set_keyword(run.sources, entered[0], "use_reentrant", "False")), Fix("pass static_graph=True to DistributedDataParallel", self._static(run))]
        return run.diagnosis(self, first_fitting(headline), entered[0], "a reentrant checkpoint", notes=notes, fixes=fixes, confidence=Confidence.LIKELY)

    def _static(self, run: Reading) -> edits.Edits:
        built = [*calls_of(run.sources, "DistributedDataParallel"), *calls_of(run.sources, "DDP")]
        return edits.set_keyword(run.sources, built[0], "static_graph", "True") if len(built) == 1 else ()

    def _plain(self, run: Reading, headline: str, notes: list[str], fix: str, cause: Cause | None = None, because: str = "") -> Diagnosis:
        return run.diagnosis(
            self, first_fitting(headline), cause or run.raised, because, notes=notes, fixes=[Fix(fix, (), "display-only")], confidence=Confidence.LIKELY
        )

    log_examples = (
        LogExample(
            """\
[rank1]: Traceback (most recent call last):
[rank1]:   File "pretrain.py", line 64, in <module>
[rank1]:     out = ddp(batch)
[rank1]:   File "/opt/env/lib/python3.11/site-packages/torch/nn/parallel/distributed.py", line 1638, in forward
[rank1]:     inputs, kwargs = self._pre_forward(*inputs, **kwargs)
[rank1]: RuntimeError: Expected to have finished reduction in the prior iteration before starting a new one. This error indicates that your module has parameters that were not used in producing loss.
[rank1]: Parameter indices which did not receive grad for rank 1: 14 15
""",
            says=("14, 15", "find_unused_parameters", "gradient"),
            cause="pretrain.py:64",
        ),
    )
    log_near_misses = (LogExample("RuntimeError: Trying to backward through the graph a second time\n"),)


def _named(run: Reading, numbers: list[int]) -> list[str]:
    """DDP's numbers of parameters as the model's names for them; nothing where the model was not seen."""
    wrapper = next((m for m in run.evidence.modules if m.kind == "DistributedDataParallel" and m.children), None)
    model = run.history.module(wrapper.children[0][1]) if wrapper is not None else None
    names = [name for name, tensor in parameters_of(run, model).items() if tensor.requires_grad] if model is not None else []
    return [names[number] for number in numbers] if numbers and max(numbers) < len(names) else []
