"""What the run's tensors say about devices."""

from __future__ import annotations

from ..model import Evidence, TensorFacts


def runs_on_meta(evidence: Evidence) -> bool:
    """Whether the program uses `meta` as its device on purpose: every layer's parameter is there, so a CPU tensor is the one left behind."""
    found = {
        argument.value.device
        for module in evidence.modules
        if not module.fqn.partition(".")[0].endswith("]")
        for argument in module.parameters
        if isinstance(argument.value, TensorFacts) and "." not in argument.name
    }
    return found == {"meta"}
