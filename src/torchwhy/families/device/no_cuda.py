"""The program asks for a GPU that this machine, or this build of PyTorch, does not have.

Erroneous code (TW0302):

```python
{example}
```

Why: a wheel built for the CPU has no CUDA code at all, and a CUDA build finds no GPU where there is no NVIDIA driver, no card, or an empty
`CUDA_VISIBLE_DEVICES`. A device name written into the program fails on every such machine.

Fix: choose the device once, by what is there: `device = torch.device("cuda" if torch.cuda.is_available() else "cpu")`, and use it everywhere; or install
the build that fits the machine. `torchwhy env` tells which build is installed, and what the machine has.

Messages: `Torch not compiled with CUDA enabled`; `Found no NVIDIA driver on your system`; `No CUDA GPUs are available`; `PyTorch is not linked with support
for mps devices`; `invalid device ordinal`; older: `Cannot initialize CUDA without ATen_cuda library`.

Not to be confused with: `device.deserialize` (a file that was saved on a GPU), `device.mismatch`.
"""

from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, Span
from ...reason import edits
from ...reason.origins import Origin, origins
from ...reason.printed import around, find
from ...reason.reading import Cause, Reading, reading
from ...reason.source import Expression
from ...reason.wording import code, first_fitting, place

_GPU = re.compile(r"\b(cuda|mps|xpu|hip|gpu)\b")


def _names_gpu(origin: Origin) -> bool:
    """Whether the place itself says which device: a literal, or torch's own call with one, not a reader of text that happens to hold the word."""
    return bool(_GPU.search(origin.text)) and (origin.form == "literal" or (origin.form != "name" and "\n" not in origin.text))


class NoCuda(Family):
    code = "TW0302"
    title = "the program asks for a GPU that is not there"
    triggers = (
        Trigger(
            r"Torch not compiled with (?P<device>CUDA|XPU) enabled|not linked with support for (?P<other>\w+) devices|requires CUDA support"
        ),
        Trigger(
            r"Found no NVIDIA driver|No CUDA GPUs are available|Cannot (initialize|get) CUDA .*without ATen_cuda|no CUDA-capable device"
        ),
        Trigger(r"has no attribute '_cuda_(setDevice|getDevice|init)"),
        Trigger(r"(?P<ordinal>invalid device ordinal|Invalid device id)"),
        Trigger(r"device type at start of device string: (?P<unknown>\w+)"),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        groups = match.groupdict()
        device = (
            "cuda"
            if (groups.get("device") or "CUDA") == "CUDA" and not groups.get("other")
            else (groups.get("device") or groups["other"] or "").lower()
        )
        chain = self._asked(run)
        cause = Cause(chain[-1].span, chain) if chain else Cause(run.raised)
        what = chain[-1].text if chain else run.frame.code if run.frame else ""
        if groups.get("unknown"):
            return run.diagnosis(
                self,
                f"{code(groups['unknown'])} is no device that PyTorch knows",
                cause,
                "the device is named here",
                notes=("NVIDIA and AMD GPUs are both `cuda`",),
                fixes=self._fixes(run, cause, "cuda", groups["unknown"]),
                confidence=Confidence.CERTAIN,
            )
        if groups.get("ordinal"):
            return self._beyond(run, cause, what)
        build = evidence.environment.torch or ""
        reason = (
            f"torch {build} is a build without CUDA"
            if "compiled" in match[0] or "cpu" in build
            else f"`torch.{device}.is_available()` is False here"
        )
        notes = [
            f"{reason}, so `{device}` can't be used on this machine; `torch.cuda.is_available()` says so beforehand",
            f"{code(what)} asks for it at {place(cause.span)}",
        ]
        if cause.span.line != run.raised.line:
            notes.append(f"it was used at {place(run.raised)}: {code(run.frame.code if run.frame else '')}")
        return run.diagnosis(
            self,
            first_fitting(
                f"{code(what)} asks for `{device}`, which is not available here", f"`{device}` is asked for, which is not available here"
            ),
            cause,
            f"{device} is asked for here",
            notes=notes,
            fixes=self._fixes(run, cause, device, device),
            confidence=Confidence.CERTAIN if chain or ".cuda(" in what else Confidence.LIKELY,
        )

    def _beyond(self, run: Reading, cause: Cause, what: str) -> Diagnosis:
        """There are GPUs, and the one that is asked for is not among them."""
        text = around(run.evidence)
        visible = find(r"CUDA_VISIBLE_DEVICES['\"]?\s*[=:]\s*['\"]?([\d, ]*\d)", text, 1)
        count = len(visible.split(",")) if visible else 0
        ranks = [int(n) for n in re.findall(r"local_rank\W{1,3}(\d{1,3})|\[rank(\d{1,3})\]|\brank\W{1,3}(\d{1,3})", text) for n in n if n]
        asked = find(r"cuda:(\d+)", what, 1)
        asked = asked or (str(run.failure.rank) if run.failure.rank is not None else "")
        notes = ["the GPUs that a process sees are numbered from 0: the number that is asked for is not below how many there are"]
        if visible:
            notes.append(f"CUDA_VISIBLE_DEVICES={visible} leaves {count} of them: the numbers 0 to {count - 1}")
        if ranks and count and max(ranks) >= count:
            notes.append(
                f"local ranks up to {max(ranks)} are in the text, so {max(ranks) + 1} or more processes were started for {count} GPUs"
            )
        fixes = [
            Fix(
                f"start as many processes as there are GPUs (`--nproc_per_node={count or 'number of GPUs'}`), or make more visible (CUDA_VISIBLE_DEVICES)",
                (),
                "display-only",
            ),
            Fix('take the device from the local rank: `torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))`', (), "display-only"),
        ]
        headline = f"GPU number {asked} is asked for, which does not exist" if asked else "a GPU number is asked for that does not exist"
        return run.diagnosis(
            self,
            headline,
            cause,
            "invalid device ordinal",
            notes=[*notes, f"{code(what)} asks for it" if what else ""],
            fixes=fixes,
            confidence=Confidence.LIKELY,
        )

    def _asked(self, run: Reading) -> tuple[Origin, ...]:
        """From the device argument of the failing call (or of one around it) to the literal that names the device."""
        for number, span in enumerate(run.calls[:4]):
            given: list[Expression] = sorted(
                run.sources.arguments(span), key=lambda e: e.keyword not in ("device", "map_location", "device_ids")
            )
            for expression in given:
                chain = origins(run.sources, expression.span, run.calls[number:])
                deciding = next((i for i in range(len(chain) - 1, -1, -1) if _names_gpu(chain[i])), None)
                if deciding is not None:
                    return chain[: deciding + 1]
                if any(_GPU.search(origin.text) for origin in chain):  # read from text or a file: the program's line that takes it
                    return chain[: max(1, sum(origin.form == "name" for origin in chain))]
        return ()

    def _fixes(self, run: Reading, cause: Cause, device: str, name: str) -> list[Fix]:
        text = run.sources.segment(cause.span)
        title = f"use {device} only where it is available"
        literal = re.search(rf"(['\"]){name}(:\d+)?\1", text)
        if literal is not None and "\n" not in text and "is_available" not in text:
            start = cause.span.column + literal.start()
            span = Span(cause.span.file, cause.span.line, start, cause.span.line, start + len(literal[0]))
            known = literal[0].replace(name, device)
            value = f'{known} if torch.{device}.is_available() else "cpu"'
            if literal[0] == text and run.sources.node_at(span) is not None:
                value = f"({value})"
            imports = edits.add_import(run.sources, cause.span.file, "import torch")
            return [Fix(title, (*edits.replace_text(span, value), *imports), "safe")]
        if (moved := re.search(r"\.cuda\(\)$", text)) is not None and "\n" not in text:
            span = Span(
                cause.span.file, cause.span.end_line, cause.span.end_column - len(moved[0]), cause.span.end_line, cause.span.end_column
            )
            return [Fix(title, edits.replace_text(span, '.to("cuda" if torch.cuda.is_available() else "cpu")'), "safe")]
        return [Fix(f"choose the device by `torch.{device}.is_available()`", self._chosen(run, device), "safe")]

    def _chosen(self, run: Reading, device: str) -> edits.Edits:
        """The expression that hands the device on, made to ask first: that of `torch.device(…)`, else of the call that moves."""
        given = next((e for e in run.sources.arguments(run.raised) if e.keyword in (None, "device", "map_location")), None)
        if given is None:
            return ()
        chain = origins(run.sources, given.span, run.calls)
        made = next((o for o in chain if re.match(r"(?:torch\.)?device\(", o.text)), None)
        inner = next(iter(run.sources.arguments(made.span)), None) if made is not None else None
        chosen = inner or given
        text = f'{chosen.text} if torch.{device}.is_available() else "cpu"'
        return edits.set_value(run.sources, chosen.span, text) if "\n" not in text and "is_available" not in chosen.text else ()

    examples = (
        Example(
            {
                "train.py": """\
import torch
from torch import nn
from settings import CONFIG

model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
model.to(CONFIG["device"])
print(model(torch.ones(2, 3, device=CONFIG["device"])).shape)
""",
                "settings.py": """\
CONFIG = {
    "lr": 1e-3,
    "device": "cuda",  #~ cause
}
""",
            },
            says=("cuda", "is_available", "settings.py"),
        ),
        Example(
            {
                "move.py": """\
import torch
from torch import nn

net = nn.Linear(3, 4).cuda()  #~ cause
print(net.weight.device.type != "")
"""
            },
            says=("cuda", "is_available"),
            becomes='net = nn.Linear(3, 4).to("cuda" if torch.cuda.is_available() else "cpu")',
        ),
    )
    near_misses = (NearMiss({"ok.py": "import torch\nprint(torch.ones(1).to('cuda' if torch.cuda.is_available() else 'cpu').numel())\n"}),)
