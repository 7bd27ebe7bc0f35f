"""What other lines of a text tell about its error: which of the usual reasons it was, and what mends that one."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ...model import Diagnosis, Evidence, Failure, Fix
from ..printed import around
from .numbers import of_that_size, of_two_sizes


@dataclass(frozen=True, slots=True)
class Sign:
    """`{name}` in the note and the fix stands for the group of that name in `pattern`, which is searched in the message, the lines around it and the code."""

    family: str
    pattern: str
    note: str
    fix: str = ""
    message: str = ""
    """Must be found in the message."""
    also: str = ""
    """Must be found too, anywhere."""
    drops: str = ""
    """General notes that this reason makes void; its remedy then stands instead of the general ones."""


SIGNS = (
    Sign(
        "autograd.no-grad-fn",
        r"None of the inputs have requires_grad=True",
        "reentrant checkpointing (`torch.utils.checkpoint`) was given inputs of which none requires grad, so what it returns has no graph: usual where "
        "the base model is frozen and only adapters (LoRA, PEFT) train",
        "call `model.enable_input_require_grads()`, or checkpoint with `use_reentrant=False`",
    ),
    Sign(
        "autograd.no-grad-fn",
        r"loss\w{0,40}\s{0,20}\+?=\s{0,20}torch\.(?:zeros\((?:\(\)|1\b|\[\])|tensor\(0)|\bno (?:targets|boxes|objects|labels|positives)\b",
        "a batch without targets is given a constant as its loss (`torch.zeros`), which no parameter has a part in; the other ranks then wait for this one",
        "give a zero that is connected to the graph, such as `prediction.sum() * 0`",
    ),
    Sign(
        "cuda.launch",
        r"\bcuda:(?P<number>[1-9]\d?)\b",
        "tensors lie on `cuda:{number}`: a kernel of an extension, or of Triton, starts on the current device, which is `cuda:0` until it is set, "
        "and can't reach the memory of another",
        "set the device around the call, `with torch.cuda.device(x.device):`, or once, `torch.cuda.set_device({number})`; "
        "`CUDA_VISIBLE_DEVICES={number}` avoids it",
        message=r"illegal memory access|invalid argument|invalid device context|misaligned",
    ),
    Sign(
        "cuda.launch",
        r"[(\[]\s*(?:\d+\s*,\s*)*(?P<size>6553[6-9]|655[4-9]\d|65[6-9]\d\d|6[6-9]\d{3}|[7-9]\d{4}|\d{6,10})\s*[,)\]]",
        "{size}, in the shapes that the text shows, is more than 65535: a kernel that makes that dimension the second or third of its grid can't be started",
        "call it in chunks of a smaller batch (`x.split(32768)`), or use another kernel",
        message="invalid configuration argument",
    ),
    Sign(
        "cuda.library",
        r"\bcuda:[1-9]|[Ll]ocal_rank\s{0,20}[:=]?\s{0,20}\d|LOCAL_RANK|\brank\s{0,20}[:=]?\s{0,20}[1-9]|[Uu]sing GPU [1-9]",
        "with a process for each GPU, each must make its own the current device: without `torch.cuda.set_device(local_rank)` its handles are made on "
        "`cuda:0`, while its tensors lie on another",
        "call `torch.cuda.set_device(int(os.environ[\"LOCAL_RANK\"]))` before anything is put on a GPU",
        message=r"NOT_INITIALIZED|cublasCreate|CUDNN_STATUS_MAPPING_ERROR",
    ),
    Sign(
        "cuda.assert",
        r"(?<![\w.])(?:-100|255)(?![\w.])|ignore",
        "`scatter` and `gather` know no ignored value: every index must lie in the dimension, also where the result is masked afterwards",
        "replace ignored values before the call (`index.masked_fill(ignored, 0)` or `clamp(min=0)`), and mask its result",
        also=r"ScatterGather",
    ),
    Sign(
        "cuda.assert",
        r"\bEmbedding\((?P<rows>\d+), ?\d+",
        "the text shows an embedding with {rows} rows: its ids run from 0 to {rows} - 1",
    ),
    Sign(
        "cuda.assert",
        r"srcIndex|indexSelect|[Ee]mbedding",
        "tokens that are added to a tokenizer (a pad token too) get ids after the last row of the model's embedding, until it is resized",
        "call `model.resize_token_embeddings(len(tokenizer))` after adding tokens; or the text is longer than the position table: truncate it",
        also=r"[Tt]okenizer|/transformers/",
    ),
    Sign(
        "compile.dynamic-shape",
        r"inferred to be a constant \((?P<value>\d+)\)",
        "something in the model has that very size, {value} (a buffer, a mask, a table of positions, a `view`), and meets the marked dimension: "
        "one size only fits",
        "cut the fixed one to the input (`mask[:n]`), or leave the mark out: `torch._dynamo.maybe_mark_dynamic` does not insist",
    ),
    Sign(
        "dist.ddp",
        r"Parameter at index (?P<index>\d+) with name (?P<name>\S+) has been marked as ready twice",
        "parameter {index}, `{name}`, was marked as ready twice in one backward",
    ),
    Sign(
        "data.worker",
        r"oom[-_ ]?kill|OOM Killed|Out [Oo]f [Mm]emory(?!\. Tried)",
        "the text names the system's out-of-memory killer: the host memory (RAM) of the job ran out, not the GPU's; the line that raised only heard of it",
        "use fewer workers, or let them share the data (a memory map, one array instead of lists), or ask for more memory",
        message=r"killed by signal|exited unexpectedly",
    ),
    Sign(
        "data.worker",
        r"\bnum_workers['\"]?\s*[:=]\s*(?P<workers>\d+)",
        "`num_workers` is {workers}: each is a process with memory of its own",
        message=r"killed by signal|exited unexpectedly",
    ),
    Sign(
        "data.worker",
        r"(?i:--mem|\bmem(?:ory)?(?:_limit)?)\s{0,20}[=: ]\s{0,20}(?P<limit>\d{1,12}(?:\.\d+)? ?[GM]i?B?)\b",
        "the job may use {limit}",
        message="killed by signal",
    ),
    Sign(
        "autograd.inplace-saved",
        r"DistributedDataParallel|nn/parallel/distributed\.py|\bDDP\(",
        "a tensor of one dimension, and a batch normalisation under DDP: it copies rank 0's buffers (`running_mean`, `running_var`) into the module at each "
        "forward, in place, so a second forward before the backward overwrites what the first one saved",
        "pass `broadcast_buffers=False` to DistributedDataParallel, use SyncBatchNorm, or make one forward of both inputs (`torch.cat`)",
        message=r"Tensor \[\d+\]\]",
        also=r"BatchNorm|batch_norm|batchnorm",
        drops=r"writers are|the write itself",
    ),
    Sign(
        "cuda.library",
        r"\|\s{1,20}\d{1,4}\s{1,20}N/A\s{1,20}N/A\s{1,20}(?P<pid>\d{1,12})\s{1,20}[CG+]{1,5}\s{1,20}(?P<name>\S[^|]{0,200}?)\s{1,80}(?P<held>\d{3,12}MiB)",
        "process {pid} (`{name}`) holds {held} of the GPU's memory: the library could get none for its workspace, an out-of-memory in disguise",
        "free the memory: stop that process, give it less (a server's `gpu_memory_utilization`), or use another GPU (CUDA_VISIBLE_DEVICES)",
        message=r"ALLOC_FAILED|NOT_INITIALIZED",
        drops=r"come up late|earlier kernel",
    ),
    Sign(
        "memory.cuda",
        r"\|\s{1,20}\d{1,4}\s{1,20}N/A\s{1,20}N/A\s{1,20}(?P<pid>\d{1,12})\s{1,20}[CG+]{1,5}\s{1,20}(?P<name>\S[^|]{0,200}?)\s{1,80}(?P<held>\d{3,12}MiB)",
        "nvidia-smi in the text: process {pid} (`{name}`) holds {held}",
    ),
    Sign(
        "memory.cuda",
        r"key_cache|past_key_value|cache_utils\.py|\bkv[_ -]?cache|\bKVCache",
        "while text is generated, the cache of keys and values (KV cache) grows with each token and each sequence, and no graph is kept",
        "generate fewer sequences at once or fewer tokens (`max_new_tokens`), or use an offloaded or quantized cache",
        drops=r"graph|in evaluation|attention scores|weights are moved",
    ),
    Sign(
        "memory.cuda",
        r"\b(?P<name>num_return_sequences|num_beams|max_new_tokens|max_length|batch_size)\s*[=:]\s*(?P<value>\d+)(?:[\s\S]{0,200}?\b(?P<name2>max_new_tokens|num_return_sequences)\s*[=:]\s*(?P<value2>\d+))?",
        "the text has `{name}` {value}",
        also=r"key_cache|past_key_value|cache_utils\.py|\.generate\(",
    ),
    Sign(
        "memory.cuda",
        r"ipython-input|\bCell In|Input In",
        "in a notebook what earlier cells made stays alive: when a cell that loads a model runs a second time, the first one keeps its memory until the new one is bound to the name",
        "before it: `del model; gc.collect(); torch.cuda.empty_cache()`, or restart the kernel",
        also=r"from_pretrained|load_model|load_checkpoint",
    ),
    Sign(
        "memory.cuda",
        r"allocated(?: before| already)?\s*[:=]\s*(?P<before>\d[\d.]* ?[GM]i?B)",
        "{before} was allocated already, as the text shows",
        also=r"ipython-input|\bCell In|Input In",
    ),
    Sign(
        "memory.cpu",
        r"(?m)^Mem:\s+(?P<total>\d[\d.]*[GM]i?)",
        "this is the computer's own memory (RAM): it has {total} in all",
        message="DefaultCPUAllocator",
    ),
    Sign(
        "memory.cpu",
        r"DefaultCPUAllocator",
        "this is the computer's own memory (RAM), no GPU is involved",
        "work through it in smaller pieces: fewer samples or frames at a time, tiles or chunks, or half precision",
        message="DefaultCPUAllocator",
    ),
    Sign(
        "compile.backend",
        r"Python\.h: No such file",
        "the C compiler (gcc) that Triton or Inductor starts found no `Python.h`: the development headers of this Python are not installed",
        "install Python's headers, such as `apt-get install python3-dev` (python3.x-dev of the version in use)",
        drops=r"the step at fault",
    ),
    Sign(
        "compile.backend",
        r"/include/python(?P<version>3\.\d+)\b",
        "it looked in the headers of Python {version}: the package is python{version}-dev",
        also=r"Python\.h: No such file",
    ),
    Sign(
        "cuda.assert",
        r"input_val >= zero|binary_cross_entropy|BCELoss",
        "`BCELoss` takes probabilities between 0 and 1: the raw outputs of a last layer (logits) lie outside, and nan does too",
        "put a sigmoid after the last layer, or give the logits to `BCEWithLogitsLoss` (binary_cross_entropy_with_logits)",
        also=r"input_val >= zero|>= zero && \S+ <= one",
    ),
    Sign(
        "cuda.assert",
        r"float16|fp16|\bhalf\b",
        "the model runs in float16, which ends at 65504: larger values become inf, and nan after the softmax",
        "run it in bfloat16 or float32 (bfloat16 has float32's range; GPUs before Ampere need float32)",
        also=r"multinomial|probability tensor",
    ),
    Sign(
        "memory.cuda",
        r"parallel/data_parallel\.py|nn\.DataParallel\(",
        "`nn.DataParallel` gathers the outputs of all GPUs on the first one (GPU 0), where the loss is computed too: that one fills while the others have room",
        "use DistributedDataParallel (DDP), or compute the loss inside of the module, so that only numbers are gathered",
        drops=r"attention scores",
    ),
    Sign(
        "memory.cuda",
        r"vae\.decode\(|autoencoders?/|autoencoder_kl|decode_latents",
        "the denoising went through: it is the VAE that decodes the latents to whole pictures, often in float32, whose maps are as large as the pictures",
        "decode in pieces (`pipe.enable_vae_slicing()`, `enable_vae_tiling()`), fewer images at once, or a smaller resolution",
        drops=r"attention scores|graph|in evaluation",
    ),
    Sign(
        "memory.cpu",
        r"np\.load\(|numpy\.load\(|lib[/\\](?:_?format|npyio)",
        "the whole file is read into the computer's memory (RAM) at once",
        "open it as a memory map, `np.load(path, mmap_mode=\"r\")`, and read each sample in `__getitem__`",
        message=r"Unable to allocate|MemoryError|^$",
    ),
    Sign(
        "cuda.library",
        r"undefined symbol|Attempt to open cnn_infer failed|LD_LIBRARY_PATH=\S{0,600}cud",
        "two versions of cuDNN meet: one of torch's own and another that the loader finds first (by LD_LIBRARY_PATH, or in the system)",
        "unset LD_LIBRARY_PATH (or take the other cuDNN out of it), so that torch loads its own",
        message=r"engine|cudnn|CUDNN",
    ),
    Sign(
        "dist.init",
        r"rdzv[_-]endpoint\s*[=:]\s*(?P<where>[\w.\-]+:\d+)",
        "the endpoint of the rendezvous is {where}",
    ),
    Sign(
        "dist.init",
        r"(?:nnodes|min_nodes)\s{0,20}[=: ]\s{0,20}(?P<nodes>\d+)",
        "nnodes is {nodes}: so many nodes must join",
        also="[Rr]endezvous|rdzv",
    ),
    Sign(
        "dist.collective",
        r"current_device\(\)\s{0,20}(?:->|:|=|is)?\s{0,20}0\b[\s\S]*current_device\(\)\s{0,20}(?:->|:|=|is)?\s{0,20}0\b",
        "the text shows more than one rank with `cuda:0` as its current device",
    ),
)  # fmt: skip


def with_surroundings(diagnosis: Diagnosis, failure: Failure, evidence: Evidence) -> Diagnosis:
    """The diagnosis with what the lines around its error add; a remedy found so goes before the general ones."""
    text = "\n".join([around(evidence), *(frame.code for frame in failure.frames)])
    notes, fixes = list(diagnosis.notes), list(diagnosis.fixes)
    place = 0
    for sign in SIGNS:
        if sign.family != diagnosis.family or not re.search(sign.message, failure.message):
            continue
        found = re.search(sign.pattern, text)
        if found is None or not re.search(sign.also, text):
            continue
        groups = {name: " ".join(said.replace("`", "'").split())[:200] for name, said in found.groupdict().items() if said is not None}
        if sign.drops:
            notes = [note for note in notes if not re.search(sign.drops, note)]
            fixes = fixes[:place]
        notes.append(sign.note.format_map(groups))
        if sign.fix:
            fixes.insert(place, Fix(sign.fix.format_map(groups), (), "display-only"))
            place += 1
    if diagnosis.family.startswith("memory.") and (told := of_that_size(failure.message, text)) is not None:
        notes.append(told[0])
        fixes = [told[1]] if told[1] is not None else fixes
    if diagnosis.family.startswith("shape.") and (sizes := of_two_sizes(failure.message, text)) is not None:
        notes.append(sizes[0])
        fixes.insert(place, sizes[1])
    return replace(diagnosis, notes=tuple(notes), fixes=tuple(fixes))
