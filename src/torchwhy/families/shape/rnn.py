"""A recurrent layer gets an input or a state of another size than it was built for.

Erroneous code (TW0107):

```python
{example}
```

Why: `nn.RNN`, `nn.LSTM` and `nn.GRU` read `[time, batch, features]`, or `[batch, time, features]` with `batch_first=True`; the features
must be `input_size`. The state that is passed in must be `[num_layers * directions, batch, hidden_size]`, also with `batch_first=True`,
with the batch of this very input: a state made once for a fixed batch size fails with the smaller last batch. An LSTM takes and gives a
pair `(h, c)`, the others one tensor.

Fix: build the layer with the `input_size` of the data, say `batch_first=True`, make the state from the input (`torch.zeros(layers,
x.size(0), hidden)`) or leave it out: it is then zero.

Messages: `input.size(-1) must be equal to input_size. Expected 10, got 8`; `Expected hidden[0] size (1, 4, 20), got [1, 8, 20]`; `RNN:
Expected input to be 2D or 3D, got 4D instead`; `For batched 3-D input, hx should also be 3-D but got 2-D tensor`; `input has inconsistent
input_size: got 8 expected 10`.

Not to be confused with: `shape.linear`, where the layer behind the recurrent one has another width (twice of it with
`bidirectional=True`)."""

from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, ModuleFacts, TensorFacts
from ...reason import edits, packed
from ...reason.accounts import setting_account, size_account, tensor_account
from ...reason.layers import RNNS, base_kind
from ...reason.misfits import Misfit, explain
from ...reason.provenance import Size
from ...reason.reading import Cause, Reading, named, reading
from ...reason.sequences import (
    asked_for,
    axes,
    batch_first,
    directions,
    is_recurrent,
    maker,
    size_at_hand,
    span_of_state,
    states,
    turn_batch_first,
    wanted_state,
    written_size,
)
from ...reason.texts import built_in_text, called_in_line, rebuilt
from ...reason.told import tell
from ...reason.wording import code, shape_text


class Rnn(Family):
    code = "TW0107"
    title = "a recurrent layer gets an input or a state of another size than it was built for"
    triggers = (
        Trigger(r"input\.size\(-1\) must be equal to input_size\. Expected (?P<wants>\d+), got (?P<gets>\d+)"),
        Trigger(r"input has inconsistent input_size: got (?P<gets>\d+),? expected (?P<wants>\d+)"),
        Trigger(r"Expected hidden(?:\[(?P<part>\d)\])? size \((?P<wanted>[\d, ]+)\), got [\[(](?P<given>[\d, ]+)[\])]"),
        Trigger(r"Input batch size (?P<batch>\d+) doesn't match hidden(?P<part>\d)? batch size (?P<held>\d+)"),
        Trigger(r"hidden\d? has inconsistent hidden_size: got (?P<hidden>\d+), expected (?P<hidden_size>\d+)"),
        Trigger(r"(?:RNN|LSTM|GRU)(?:Cell)?: Expected (?P<which>input|hidden) to be (?P<takes>\dD or \dD), got (?P<rank>\d)D"),
        Trigger(r"input must have (?P<takes>\d) dimensions, got (?P<rank>\d)"),
        Trigger(r"For (?:un)?batched (?P<input>\d)-D input, hx (?:and cx )?should also be \d-D but got \(?(?P<state>\d)-D"),
        Trigger(r"'tuple' object has no attribute '(?P<attribute>dim|size)'", types=("AttributeError",), raised_in="nn/modules/rnn.py"),
        Trigger(r"index 1 is out of bounds for dimension 0 with size 1", types=("IndexError",), raised_in="nn/modules/rnn.py"),
        Trigger(r"mat1 and mat2 shapes cannot be multiplied"),
        Trigger(r"Expected `len\(lengths\)` to be equal to batch_size, but got (?P<lengths>\d+) \(batch_size=(?P<rows>\d+)\)"),
        Trigger(r"Length of all samples has to be greater than (?P<least>0), but found an element in 'lengths'"),
    )
    rank = 2

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        told = match.groupdict()
        if told.get("least"):
            return tell(run, self, packed.empty(run))
        if told.get("lengths"):
            return tell(run, self, packed.lengths_of_other_axis(run, int(told["lengths"]), int(told["rows"])))
        layer = run.layer
        if layer is not None and not is_recurrent(layer):
            layer = None
        if told.get("wants"):
            return self._input(run, layer, int(told["wants"]), int(told["gets"]))
        if match[0].startswith("mat1"):
            return self._packed(run, layer)
        if told.get("takes") and told.get("which") != "hidden":
            return self._rank(run, layer, told["takes"], int(told["rank"]))
        return self._state(run, layer, told)

    # ── the input ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def _input(self, run: Reading, layer: ModuleFacts | None, wants: int, gets: int) -> Diagnosis:
        who = named(run, layer) if layer else called_in_line(run) or "the recurrent layer"
        headline = f"{who} is built for input_size={wants} but gets {gets} features"
        x = run.tensor("input")
        if layer is None or x is None or not x.shape:
            cause = built_in_text(run, RNNS, "input_size", 0, wants)
            return run.diagnosis(
                self,
                headline,
                cause,
                f"input_size is {wants}",
                fixes=[rebuilt(run, cause, who, "input_size", gets)],
                confidence=Confidence.POSSIBLE,
            )
        found = explain(run, Misfit(layer, "input_size", wants, x, x.rank - 1))
        order = f"{layer.kind} reads {axes(layer)}" if x.rank == 3 else ""
        return run.diagnosis(
            self,
            headline,
            found.cause,
            found.because,
            trail=found.trail,
            notes=[*found.notes, order],
            fixes=found.fixes,
            confidence=found.confidence,
        )

    def _packed(self, run: Reading, layer: ModuleFacts | None) -> Diagnosis | None:
        """A packed sequence of other features: no check before the product."""
        wants = layer.number("input_size") if layer is not None else None
        x = next((t for _, t in run.tensors if t.rank == 2 and t.shape and t.shape[-1] != wants), None) if layer is not None else None
        if layer is None or wants is None or x is None or x.shape is None:
            return None
        headline = f"{named(run, layer)} is built for input_size={wants} but gets {x.shape[-1]} features"
        found = explain(run, Misfit(layer, "input_size", wants, x, x.rank - 1))
        return run.diagnosis(self, headline, found.cause, found.because, trail=found.trail, notes=found.notes, fixes=found.fixes)

    def _rank(self, run: Reading, layer: ModuleFacts | None, takes: str, rank: int) -> Diagnosis:
        x = run.tensor("input")
        headline = f"{named(run, layer) if layer else 'the recurrent layer'} takes {takes} input but gets {rank}D"
        if x is None:
            return run.diagnosis(self, headline, None)
        wants, span = layer.number("input_size") if layer is not None else None, run.span_of("input")
        notes = [
            tensor_account(run, x, run.name_or_empty("input")),
            setting_account(run, layer, "input_size", "hidden_size") if layer else "",
        ]
        fixes = []
        if x.shape and len(x.shape) == 4 and span is not None:
            if 1 in x.shape[1:]:
                dim = x.shape.index(1, 1)
                fixes.append(Fix(f"drop dimension {dim}, its size is 1", edits.append_method(run.sources, span, f".squeeze({dim})")))
            elif wants == x.shape[2] * x.shape[3]:
                fixes.append(Fix("make the last two dimensions one", edits.append_method(run.sources, span, ".flatten(2)")))
        decision = run.decided(x, "rank")
        cause = run.cause(decision) if decision.how == "op" else Cause(span or run.raised)
        return run.diagnosis(self, headline, cause, f"is {shape_text(x.shape)}", trail=run.trail(x, "rank"), notes=notes, fixes=fixes)

    # ── the state ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def _state(self, run: Reading, layer: ModuleFacts | None, told: dict[str, str | None]) -> Diagnosis:
        x = run.tensor("input")
        given = states(run)
        part = min(int(told.get("part") or 0), max(0, len(given) - 1))
        name, state = given[part] if given else ("the state", None)
        who = named(run, layer) if layer else called_in_line(run) or "the recurrent layer"
        if layer is None or x is None or state is None or not x.shape or state.shape is None:
            return self._told(run, who, told)
        notes = [tensor_account(run, x, run.name_or_empty("input")), f"the state {code(name)} is {shape_text(state.shape)}"]
        if told.get("attribute") or base_kind(layer) == "LSTM" and len(given) == 1:
            return self._kind_of_state(run, layer, name, state, notes)
        wanted = wanted_state(layer, x)
        headline = f"{who} takes a state of {shape_text(wanted)} but `{name}` is {shape_text(state.shape)}"
        if len(headline) > 80:
            headline = f"{who} takes a state of {shape_text(wanted)}, not {shape_text(state.shape)}"
        notes.append(f"{layer.kind} takes [num_layers * directions, batch, hidden_size] = {shape_text(wanted)}" if len(wanted) == 3 else "")
        notes.append(setting_account(run, layer, "hidden_size", "num_layers", "bidirectional", "batch_first"))
        if state.rank != len(wanted):
            return self._state_rank(run, layer, x, state, headline, wanted, notes)
        dim = next((d for d, (a, b) in enumerate(zip(wanted, state.shape)) if a != b), 0)
        batch_dim = len(wanted) - 2
        if dim == batch_dim:
            return self._batch(run, layer, x, state, headline, wanted, notes)
        giver = run.decided(state, Size(dim)).module
        if giver is not None and giver.id != layer.id and is_recurrent(giver) and dim == 0 and directions(giver) > directions(layer):
            return self._both_directions(run, layer, giver, state, headline, wanted, notes)
        made = maker(run, state, dim)
        notes.append(size_account(run, state, dim))
        fixes = []
        if dim == 0 and len(wanted) == 3:
            notes.append("each direction of each layer has a state of its own" if directions(layer) == 2 else "")
        written = written_size(run, state, dim)
        if written is not None:
            fixes.append(
                Fix(
                    f"make {wanted[dim]} of it where it is made",
                    edits.replace_text(written, _times(run.sources.segment(written), state.shape[dim], wanted[dim])),
                    changes="the state has another size",
                )
            )
        return run.diagnosis(
            self, headline, made, f"makes {shape_text(state.shape)}", trail=run.trail(state, Size(dim)), notes=notes, fixes=fixes
        )

    def _both_directions(
        self,
        run: Reading,
        layer: ModuleFacts,
        giver: ModuleFacts,
        state: TensorFacts,
        headline: str,
        wanted: tuple[int, ...],
        notes: list[str],
    ) -> Diagnosis:
        """The state of a bidirectional layer is handed to one that reads in one direction."""
        cause = run.setting(giver, "bidirectional", True)
        notes.append(f"{named(run, giver)} is bidirectional: its state has two slices for each layer, {named(run, layer)} takes one")
        span = span_of_state(run)
        edit = edits.append_method(run.sources, span, f"[: {wanted[0]}]") if span is not None and len(states(run)) == 1 else ()
        fix = Fix(
            f"pass one direction of the state, or join the two: {wanted[0]} of {(state.shape or (0,))[0]} slices",
            edit,
            hides="the other direction",
        )
        return run.diagnosis(self, headline, cause, "bidirectional is True", trail=run.trail(state, Size(0)), notes=notes, fixes=[fix])

    def _told(self, run: Reading, who: str, told: dict[str, str | None]) -> Diagnosis:
        """From the message alone."""
        headline, notes = f"{who} gets a state of another size than it takes", [run.failure.message]
        if told.get("wanted") and told.get("given"):
            wanted, given = ([int(n) for n in (told[key] or "").split(",")] for key in ("wanted", "given"))
            headline = f"{who} takes a state of {shape_text(wanted)}, not {shape_text(given)}"
            names = ("num_layers * directions", "batch", "hidden_size")
            notes = [f"{name}: {a} is taken, {b} is given" for name, a, b in zip(names, wanted, given) if a != b]
            if len(wanted) == 3 and wanted[1] != given[1]:
                notes.append(
                    "the state is made for another batch: a smaller last batch, or an input with the batch first without batch_first=True"
                )
        elif told.get("held"):
            headline = f"{who} gets a batch of {told['batch']} but a state for {told['held']}"
        return run.diagnosis(self, headline, None, notes=notes)

    def _batch(
        self, run: Reading, layer: ModuleFacts, x: TensorFacts, state: TensorFacts, headline: str, wanted: tuple[int, ...], notes: list[str]
    ) -> Diagnosis:
        """The batch of the state is not the batch of the input: read along the wrong axis, or made for another batch."""
        assert x.shape is not None and state.shape is not None
        batch_dim = len(wanted) - 2
        held, batch = state.shape[batch_dim], wanted[batch_dim]
        notes.append(f"{layer.kind} reads {axes(layer)}: the batch is {batch}" if x.rank == 3 else "")
        if x.rank == 3 and layer.built and held in x.shape[:2] and held != batch:
            first = batch_first(layer)
            changes = "dimensions 0 and 1 of its input and output change their meaning"
            fix = Fix(f"build {named(run, layer)} with batch_first={not first}", turn_batch_first(run, layer), changes=changes)
            return run.diagnosis(
                self, headline, layer.built[0], f"batch_first is {first}", trail=run.trail(x, Size(0)), notes=notes, fixes=[fix]
            )
        before = run.earlier_input(x)
        if before is not None and before.shape is not None and before.rank == x.rank:
            notes.append(f"in earlier calls the input was {shape_text(before.shape)}, now the batch is {batch}, as in a smaller last batch")
        made, fixes = maker(run, state, batch_dim), []
        written = written_size(run, state, batch_dim)
        made = asked_for(run, state, batch_dim, written) or made
        notes.append(size_account(run, state, batch_dim))
        size = size_at_hand(run, written, x, batch)
        if written is not None and size:
            places = [place for _, t in states(run) if t.shape == state.shape and (place := written_size(run, t, batch_dim)) is not None]
            each = [edit for place in dict.fromkeys(places) for edit in edits.replace_text(place, size)]
            fixes.append(Fix(f"make the state for the batch at hand: {code(size)}", tuple(each)))
        loader = next((o for o in run.evidence.loaders if o.built and o.batch_size == held and o.drop_last is False), None)
        if loader is not None:
            fixes.append(
                Fix(
                    "leave out the smaller last batch",
                    edits.set_keyword(run.sources, loader.built[0], "drop_last", "True"),
                    changes="the last samples of each epoch are not used",
                )
            )
        if not fixes:
            fixes.append(
                Fix(f"make {code(states(run)[0][0])} of the batch size of this input, {batch}, not {held}", applicability="display-only")
            )
        return run.diagnosis(
            self, headline, made, f"is made for a batch of {held}", trail=run.trail(state, Size(batch_dim)), notes=notes, fixes=fixes
        )

    def _state_rank(
        self, run: Reading, layer: ModuleFacts, x: TensorFacts, state: TensorFacts, headline: str, wanted: tuple[int, ...], notes: list[str]
    ) -> Diagnosis:
        """A batch dimension is missing, of the state or of the input."""
        made = maker(run, state, 0)
        span, fixes = run.span_of("input"), []
        if x.rank == 2 and state.rank == 3 and span is not None:
            dim = 0 if batch_first(layer) else 1
            notes.append(f"a 2-D input is read as one sequence without a batch, {shape_text(x.shape)} = [time, features]")
            fixes = [Fix("give the input a batch dimension", edits.append_method(run.sources, span, f".unsqueeze({dim})"))]
            return run.diagnosis(self, headline, span, f"is {shape_text(x.shape)}", trail=run.trail(x, "rank"), notes=notes, fixes=fixes)
        return run.diagnosis(
            self, headline, made, f"makes {state.rank} dimensions, not {len(wanted)}", trail=run.trail(state, "rank"), notes=notes
        )

    def _kind_of_state(self, run: Reading, layer: ModuleFacts, name: str, state: TensorFacts, notes: list[str]) -> Diagnosis:
        """One tensor for an LSTM, or a pair for the others."""
        pair = base_kind(layer) == "LSTM"
        takes, gets = ("a pair (h, c)", "one tensor") if pair else ("one tensor", "a pair")
        headline = f"{named(run, layer)} ({layer.kind}) takes {takes} as its state, not {gets}"
        span = span_of_state(run)
        fixes = []
        if span is not None:
            text = run.sources.segment(span)
            new = f"({text}, torch.zeros_like({text}))" if pair else f"{text}[0]"
            fixes = [Fix(f"pass {code(new)}", edits.replace_text(span, new))]
        return run.diagnosis(self, headline, span or run.raised, f"is {'one tensor' if pair else 'a pair'}", notes=notes, fixes=fixes)

    # ── what is asked for ─────────────────────────────────────────────────────────────────────────────────────────────
    examples = (
        Example(
            {
                "train.py": """\
import torch
from torch import nn


class Tagger(nn.Module):
    def __init__(self, batch_size):
        super().__init__()
        self.batch_size = batch_size
        self.lstm = nn.LSTM(6, 10, batch_first=True)
        self.out = nn.Linear(10, 3)

    def forward(self, words):
        h0 = torch.zeros(1, self.batch_size, 10)  #~ cause
        out, _ = self.lstm(words, (h0, h0))
        return self.out(out)


tagger = Tagger(batch_size=4)
for words in torch.rand(10, 5, 6).split(4):
    tagger(words).sum().backward()
"""
            },
            says=("tagger.lstm", "h0", "[1, 2, 10]", "[1, 4, 10]", "last batch", "words.size(0)"),
            becomes="h0 = torch.zeros(1, words.size(0), 10)",
        ),
        Example(
            {
                "main.py": """\
import torch
from speech import Encoder, config

encoder = Encoder(**config)
encoder(torch.rand(3, 20, 16)).sum().backward()
""",
                "speech.py": """\
from torch import nn

config = {"bands": 13, "width": 8}  #~ cause


class Encoder(nn.Module):
    def __init__(self, bands, width):
        super().__init__()
        self.rnn = nn.GRU(bands, width, batch_first=True)

    def forward(self, sound):
        return self.rnn(sound)[0]
""",
            },
            says=("encoder.rnn", "input_size=13", "16", "sound"),
            becomes='config = {"bands": 16, "width": 8}',
        ),
    )
    near_misses = (
        NearMiss({"train.py": "import torch\nprint(torch.nn.LSTM(3, 4)(torch.rand(5, 2, 3))[0].shape)\n"}),
        NearMiss({"train.py": "import torch\ntorch.nn.Linear(3, 4)(torch.rand(5, 2))\n"}, belongs_to="shape.linear"),
    )


def _times(text: str, held: int, wanted: int) -> str:
    """The written size as it should be: `layers * 2`, or the number."""
    return f"{text} * {wanted // held}" if held and wanted % held == 0 and not text.isdigit() else str(wanted)
