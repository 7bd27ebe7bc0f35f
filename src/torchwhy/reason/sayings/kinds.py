"""Messages on dtypes and devices."""

from __future__ import annotations

from .saying import Saying

_CLASS_LOSS = r"cross_entropy|CrossEntropy|nll_loss|NLLLoss|criterion|loss_f"

SAYINGS = (
    # ── dtypes ────────────────────────────────────────────────────────────────────────────────────────────────────────
    Saying(
        "dtype.loss-target",
        r"expected scalar type Long but found (?P<dtype>\w+)",
        ("class targets are {dtype} where int64 is taken",),
        ("a loss with class targets takes int64 (`Long`) class indices; float targets are read as probabilities and need the predictions' shape",),
        "convert the targets with `y.long()`",
        near=_CLASS_LOSS,
        wins=True,
    ),
    Saying(
        "dtype.loss-target",
        r"\"nll_loss\w*\" not implemented for '(?P<dtype>\w+)'",
        ("class targets are {dtype} where int64 is taken",),
        ("a loss with class targets (cross_entropy, nll_loss) takes int64 (`Long`) class indices",),
        "convert the targets with `y.long()`",
        wins=True,
    ),
    Saying(
        "dtype.loss-target",
        r"result type (?P<dtype>\w+) can't be cast to the desired output type (?P<dtype2>Long|Int|Byte|Bool)|Found dtype (?P<dtype3>\w+) but expected (?P<dtype4>\w+)",
        ("the targets are {dtype2} where a {dtype} loss is computed", "a {dtype3} target meets {dtype4} predictions"),
        ("losses that compare values (MSE, L1, BCE) take targets of the predictions' dtype",),
        "convert the targets with `y.float()`",
        near=r"(?i:loss|criterion|backward|bce|mse)",
        wins=True,
    ),
    Saying("dtype.mismatch", r"Found dtype (?P<dtype>\w+) but expected (?P<dtype2>\w+)", ("a {dtype} tensor where {dtype2} is expected",), ("NumPy and pandas give float64 (Double); layers and losses are float32",), "convert it with `.float()` (or build it with dtype=torch.float32)"),
    Saying("dtype.index", r"used as indices must|argument #\d 'ind\w+' to have|Expected dtype int64 for index|expected (?:scalar )?type.*index", ("an index has a dtype that can't index",), ("indices are int64 (or int32, bool for masks)",), "convert the indices with `.long()`"),
    Saying("dtype.unsupported-op", r"\"\w+\" not implemented for '(?P<dtype>\w+)'", ("an op has no kernel for {dtype}",), ("float16 has few kernels on the CPU; integers can't be averaged or normalised",), "convert to float32 (`.float()`), use bfloat16, or run it on the GPU"),
    Saying("dtype.inplace-cast", r"result type (?P<dtype>\w+) can't be cast to the desired output type (?P<dtype2>\w+)", ("a {dtype} result is written into {dtype2}",), ("an in-place op keeps its tensor's dtype",), "write `a = a + b` instead of `a += b`, or make the tensor {dtype} at first"),
    Saying(
        "dtype.autocast",
        r"(?:Index put requires the source and destination dtypes match, got (?P<dtype>\w+) for the destination and (?P<dtype2>Half|BFloat16) for the source)",
        ("a {dtype2} result is written into a {dtype} tensor under autocast", "a {dtype2} result is written into a {dtype} tensor"),
        ("autocast gives results in lower precision; the tensor that was made before them is float32",),
        "make the destination with the result's dtype (`dtype=x.dtype`), or convert the result with `.to(out.dtype)`",
        near=r"autocast|amp|fp16|mixed|half\(",
        wins=True,
    ),
    # ── devices ───────────────────────────────────────────────────────────────────────────────────────────────────────
    Saying(
        "device.mismatch",
        r"Input type \((?P<input>(?:torch\.)?(?:cuda\.|mps\.|MPS)?(?P<k>[A-Za-z]\w*Tensor|[fF]loat|[hH]alf))\) and (?:weight|bias) type \((?P<weight>(?:torch\.)?(?:cuda\.|mps\.|MPS)?(?P=k))\)",
        ("the input is on another device than the layer's weight",),
        ("`torch.cuda.…Tensor` is a tensor on the GPU (cuda), `torch.…Tensor` one on the CPU: the input is {input}, the weight {weight}",),
        "move both to one device: `model.to(device)` and `x = x.to(device)` (`.to` of a tensor gives a new one)",
        wins=True,
    ),
    Saying(
        "device.mismatch",
        r"indices should be either on (?:cpu|\w+) or on the same device as the indexed tensor \((?P<device>[\w:]+)\)",
        ("an index is on another device than the tensor on {device} that it indexes",),
        ("a tensor on the cpu can't be indexed with indices on a cuda device",),
        "move the index to the tensor: `idx.to(x.device)` (or `.cpu()`)",
    ),
    Saying(
        "device.mismatch",
        r"Placeholder storage has not been allocated on MPS device",
        ("a tensor on the cpu meets a model on mps",),
        ("the op runs on the GPU of the Mac (mps), one of its tensors was left on the cpu",),
        "move model and input to the same device: `x.to('mps')`",
    ),
    Saying(
        "device.mismatch",
        r"module must have its parameters and buffers on device (?P<a>[\w:]+) \(device_ids\[0\]\) but found one of them on device: (?P<b>[\w:]+)",
        ("the module is on {b}, `DataParallel` wants it on {a}",),
        ("`DataParallel` keeps the module on the first of its device_ids",),
        "move the module first: `model.to('{a}')`, or name other device_ids",
    ),
    Saying(
        "device.numpy",
        r"can't convert (?:CUDA|(?P<device>[\w:]+) device type) tensor to numpy",
        ("a tensor on {device} is given to NumPy", "a tensor on the GPU (cuda) is given to NumPy"),
        ("NumPy reads the computer's memory only",),
        "copy it first: `.cpu()`, behind `.detach()` where it requires grad",
    ),
    Saying(
        "device.mismatch",
        r"Input and (?P<what>hidden|parameter) tensors are not at the same device, found input tensor at (?P<a>[\w:]+) and \w+ tensor at (?P<b>[\w:]+)",
        ("a recurrent layer's input is on {a}, its {what} tensor on {b}",),
        ("an initial state that is made in `__init__` or by `torch.zeros(...)` stays on the CPU; `register_buffer` moves with the model",),
        "make the state on the input's device (`device=x.device`), or move it with `.to(x.device)`",
    ),
    Saying(
        "device.mismatch",
        r"Expected object of (?:device type|backend) (?P<a>\w+) but got (?:device type|backend) (?P<b>\w+) for (?:argument|sequence element) (?P<n>#?\d+)(?: '(?P<name>\w+)')?",
        ("argument {n} `{name}` is on {b}, {a} is expected", "a tensor on {b} meets tensors on {a}"),
        ("model and data are on different devices (cpu and cuda)",),
        "move both to one device: `model.to(device)`, `x = x.to(device)`",
    ),
    Saying(
        "device.mismatch",
        r"(?:to be|must be|are not|should be|is not)[^.\n]{0,40} on (?:the |an? )?(?:same|expected) device",
        ("tensors of one call are on different devices",),
        (),
        "move all of them to one device: `x = x.to(device)`",
    ),
    Saying(
        "dtype.autocast",
        r"value cannot be converted to type (?:at::)?(?P<dtype>Half|BFloat16) without overflow",
        ("a constant is too large for {dtype}",),
        ("float16 ends at 65504: a mask of -1e9 or 1e20 does not fit under mixed precision",),
        "use `torch.finfo(x.dtype).min` (or -1e4, -inf) in the place of the constant",
        types=("RuntimeError",),
    ),
    Saying(
        "dtype.unsupported-op",
        r"operator '(?P<op>[\w:.]+)' is not currently (?:implemented|supported)[^\n]*MPS",
        ("`{op}` has no kernel on MPS",),
        ("not every op is there for the GPU of a Mac (mps)",),
        "set PYTORCH_ENABLE_MPS_FALLBACK=1 before the start, or run this op on the cpu",
    ),
    Saying(
        "dtype.autocast",
        r"Current CUDA Device does not support bfloat16|bfloat16 is not supported on your (?:machine|GPU)|Your setup doesn't support bf16",
        ("this GPU has no bfloat16, which autocast is told to use",),
        ("bfloat16 needs compute capability 8.0 (Ampere) or newer",),
        "use dtype=torch.float16 with a GradScaler (fp16=True instead of bf16=True) on this GPU",
    ),
    Saying(
        "device.mismatch",
        r"'lengths' argument should be a 1D CPU int64 tensor, but got (?P<rank>\d)D (?P<device>[\w:]+) (?P<dtype>\w+) tensor",
        ("the lengths are on {device}, `pack_padded_sequence` takes them on the cpu",),
        ("they are {rank}D {dtype}; only the sequences belong on the GPU",),
        "pass `lengths.cpu()`",
    ),
    Saying(
        "device.numpy",
        r"Numpy is not available|compiled using NumPy 1\.x cannot be run in\s+NumPy 2",
        ("this torch can't use the NumPy that is installed",),
        ("a torch built for NumPy 1 meets NumPy 2, or NumPy is missing: `.numpy()` and `from_numpy` then fail",),
        "install a NumPy of the version torch was built for (pip install 'numpy<2'), or a newer torch",
    ),
    Saying("device.mismatch", r"Expected a '?(?P<a>\w+)'? device type for generator but found '(?P<b>\w+)'", ("a generator on {b} is used for a tensor on {a}",), ("a default device of cuda, with a loader or sampler whose generator is on the cpu, does this",), "make the generator with `torch.Generator(device='{a}')`"),
)  # fmt: skip
