"""The frozen data that every layer shares.

Everything here is plain: it can be written to JSON, read on another machine without torch and compared with `==`.
Nothing here imports torch or any other file of torchwhy.

Conventions: lines are 1-based, columns are 0-based character offsets, sizes are in elements unless a name ends in `_bytes`,
times are in seconds. A dtype is written as `float32`, a device as `cpu` or `cuda:0`, as PyTorch prints them without `torch.`.
"""

from .cutting import MESSAGE
from .evidence import Call, Change, Environment, Evidence, Failure, Frame, Operand, Parameter, Probe, Recording
from .facts import (
    Argument,
    GraphNode,
    Items,
    LoaderFacts,
    ModuleFacts,
    OpRecord,
    OptimizerFacts,
    Phase,
    Plain,
    SampleFacts,
    SavedTensor,
    Span,
    TensorFacts,
    Value,
    ValueFacts,
    Write,
    tensors_in,
)
from .report import Applicability, Confidence, Diagnosis, Edit, Fix, Label, Outcome, Report, Timing, Verification

__all__ = [
    "MESSAGE",
    "Applicability",
    "Argument",
    "Call",
    "Change",
    "Confidence",
    "Diagnosis",
    "Edit",
    "Environment",
    "Evidence",
    "Failure",
    "Fix",
    "Frame",
    "GraphNode",
    "Items",
    "Label",
    "LoaderFacts",
    "ModuleFacts",
    "OpRecord",
    "Operand",
    "OptimizerFacts",
    "Outcome",
    "Parameter",
    "Phase",
    "Plain",
    "Probe",
    "Recording",
    "Report",
    "SampleFacts",
    "SavedTensor",
    "Span",
    "TensorFacts",
    "Timing",
    "Value",
    "ValueFacts",
    "Verification",
    "Write",
    "tensors_in",
]
