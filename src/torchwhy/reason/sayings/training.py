"""Messages on autograd, loaders, modules and checkpoints."""

from __future__ import annotations

from .saying import Saying

SAYINGS = (
    # ── autograd ──────────────────────────────────────────────────────────────────────────────────────────────────────
    Saying(
        "autograd.detached",
        r"No inf checks were recorded for this optimizer",
        ("no parameter of the optimizer has a gradient from the scaled loss",),
        (
            "`GradScaler.step` found no gradient in any parameter of this optimizer: backward did not reach them",
            "the loss was cut from the network (rebuilt with `torch.tensor(...)`, `.detach()`, `.item()`, `no_grad`), its parameters are frozen or belong to another model, or another optimizer's loss was scaled",
        ),
        "compute the loss with torch operations from the model's output, call `scaler.scale(loss).backward()` before `scaler.step`, and give the optimizer the parameters of the model that is trained",
    ),
    Saying(
        "autograd.inplace-saved",
        r"modified by an inplace operation: \[(?P<kind>[\w.]+) (?P<shape>\[[\d, ]*\])\](?:, which is output (?P<n>\d+) of (?P<node>\w+),)? is at version (?P<now>\d+); expected version (?P<due>\d+)",
        ("a saved tensor {shape} is at version {now}, backward expects version {due}", "a tensor that backward needs was overwritten in place"),
        (
            "{kind} {shape} was output {n} of `{node}`; it was written in place {now} times since it was made, {due} when it was saved",
            "writers are `+=`, `x[...] = …`, `relu_`/inplace=True, and an optimizer step between forward and backward (parameters)",
        ),
        "write `x = x + y` instead of `x += y`, `clone()` before the write, inplace=False, or run all backwards before the optimizer's step; `torch.autograd.set_detect_anomaly(True)` prints the forward line",
    ),
    Saying("autograd.inplace-view", r"view.*(?:inplace|in-place)|(?:inplace|in-place).*view", ("a view is written in place where it can't be",), (), "use the op that makes a new tensor (`x = x + y`), or `clone()` the view first"),
    Saying(
        "autograd.no-grad-fn",
        r"does not require grad and does not have a grad_fn",
        ("backward starts at a tensor without a graph",),
        ("nothing that it was computed from requires grad: it was made under `no_grad`, detached, converted (`.item()`, numpy, `torch.tensor(loss)`), came from `argmax` or a comparison, or all parameters are frozen",),
        "compute the loss with torch operations from parameters that require grad; leave out `.detach()`, `.data`, `no_grad` and `torch.tensor(...)` on the way",
    ),
    Saying("autograd.double-backward", r"second time", ("backward runs a second time through a graph that was freed",), ("a backward frees its graph; a state, a hidden tensor or a loss that is kept from an earlier step leads back into it",), "compute the graph anew, `.detach()` what is carried from step to step, add the losses and call backward once; retain_graph=True only where two backwards need the same graph"),
    Saying("autograd.detached", r"'NoneType' object has no attribute '(?P<name>\w+)'", ("a gradient is None where `.{name}` is used",), ("no backward was run before, the tensor is no leaf, does not require grad, or the loss does not depend on it",), "run backward first, `retain_grad()` for a tensor that is no leaf, and see that the loss uses it", near=r"\.grad\b"),
    Saying("autograd.inference", r"[Ii]nference", ("a tensor made in `inference_mode` meets autograd",), (), "make it under `torch.no_grad()` instead, or `clone()` it outside of inference mode"),
    Saying("autograd.custom-function", r"(?P<name>\w+)Backward\w* returned an incorrect number of gradients \(expected (?P<a>\d+), got (?P<b>\d+)\)", ("backward of `{name}` returns {b} gradients for {a} inputs",), (), "return one gradient for each input of forward, None for those that need none"),
    Saying("autograd.custom-function", r"(?P<name>\w+)Backward\w* returned an invalid gradient at index (?P<n>\d+) - got (?P<b>\[[\d, ]*\]) but expected shape compatible with (?P<a>\[[\d, ]*\])", ("`{name}` returns a gradient {b} for an input {a}",), (), "return a gradient of the input's shape: sum over the dimensions that were broadcast"),
    Saying("autograd.custom-function", r"non-static forward", ("a custom Function has a `forward` that is not static",), (), "make forward and backward @staticmethod with a `ctx`, and call it through `.apply`"),
    Saying("autograd.nondifferentiable", r"derivative for '(?P<op>[\w:]+)' is not implemented", ("`{op}` has no derivative",), (), "use an op that has one, or compute it under no_grad where no gradient is needed"),
    # ── loaders ───────────────────────────────────────────────────────────────────────────────────────────────────────
    Saying(
        "data.collate",
        r"batch must contain tensors, numpy arrays, numbers, dicts or lists; found <class '(?P<kind>[\w.]+)'>",
        ("a sample holds a `{kind}`, which can't be put into a batch",),
        ("`NoneType` comes from a `__getitem__` without a return, or one that returns None for a broken sample; PIL images need a transform such as ToTensor",),
        "return tensors from `__getitem__` (transforms.ToTensor() for images), skip samples that are None in a collate_fn of your own",
    ),
    Saying(
        "data.collate",
        r"each element in list of batch should be of equal size",
        ("samples of a batch hold lists of different lengths",),
        ("the default collate puts the first, second, … elements together and needs lists of one length",),
        "pad the lists to one length (`pad_sequence`), or pass a collate_fn of your own",
    ),
    Saying(
        "data.collate",
        r"Trying to resize storage that is not resizable",
        ("samples of different shapes can't be put into one batch in shared memory",),
        ("a worker collates straight into shared memory; samples of other sizes, or a NumPy array as a storage, do not fit it",),
        "bring all samples to one shape, or pass a collate_fn of your own; num_workers=0 shows the shapes",
    ),
    Saying("data.collate", r"stack expects each tensor to be equal size, but got (?P<a>\[[\d, ]*\]) at entry 0 and (?P<b>\[[\d, ]*\]) at entry (?P<n>\d+)", ("sample {n} of a batch is {b}, the first is {a}",), ("the images or sequences of a dataset have different sizes",), "resize, crop or pad the samples to one size in the transform (transforms.Resize, pad_sequence), or pass a collate_fn of your own"),
    Saying(
        "data.worker",
        r"unable to (?:write to|open|mmap|resize|allocate) (?:file|shared memory)[^<\n]*(?:object )?<?(?P<name>[^>\n]*)>?[^\n]*(?:No space left|\(28\)|not permitted|Cannot allocate|Too many open|\(24\))",
        ("shared memory for a worker's tensors could not be had",),
        ("the file {name} lies in /dev/shm: it is full (a container has 64 MiB of it by default), or too many files are open",),
        "give the container more shared memory (docker run --shm-size=8g or --ipc=host), use fewer workers (num_workers=0), raise `ulimit -n`, or torch.multiprocessing.set_sharing_strategy('file_system')",
    ),
    Saying(
        "data.worker",
        r"bootstrapping phase",
        ("the script starts workers while it is imported by one of them",),
        ("spawned workers import the script again: without `if __name__ == '__main__':` each would start workers of its own",),
        "put the program's start below `if __name__ == '__main__':`",
    ),
    Saying(
        "data.worker",
        r"[Cc]an(?:'t|not) pickle|Can't get local object|cannot be pickled|cannot serialize",
        ("something of the dataset can't be pickled for spawned workers",),
        (
            "spawned workers (Windows, macOS, multiprocessing_context='spawn') get the dataset by pickle: lambdas, local functions and classes, open files, locks, h5py files and connections can't be sent",
        ),
        "define functions and classes at module level (top level of a file), open files in `__getitem__` at first use, or num_workers=0",
    ),
    Saying("data.worker", r"killed by signal: Killed", ("a worker was killed (SIGKILL): mostly for want of memory (RAM)",), ("each worker holds a copy of the dataset's Python objects",), "use fewer workers (num_workers), keep data in arrays or memory-mapped files, or give the job more memory"),
    Saying("data.sampler", r"num_samples should be a positive integer value, but got num_samples=0", ("the dataset is empty: a loader has 0 samples to choose from",), ("a wrong path or pattern, or a filter that leaves nothing, makes `len(dataset)` 0",), "see that the dataset finds its files: print `len(dataset)`"),
    Saying("data.sampler", r"Sum of input lengths does not equal", ("the lengths of a random split do not sum up to the dataset's",), (), "let the lengths add up to `len(dataset)`, or pass fractions that sum to 1"),
    Saying(
        "data.transform",
        r"Required crop size \((?P<crop>[\d, ]+)\) is larger than (?:the )?input image size \((?P<image>[\d, ]+)\)",
        ("a crop of ({crop}) is larger than its image ({image})",),
        (),
        "resize before the crop, or pad (`pad_if_needed=True`), or crop less",
    ),
    Saying(
        "data.transform",
        r"pic should be (?P<wants>.{3,60}?)\. Got <class '(?P<kind>[\w.]+)'>",
        ("a transform for {wants} gets a `{kind}`", "a transform gets a `{kind}`"),
        ("ToTensor and ToPILImage convert between a PIL image or array and a Tensor: applied to what is converted already, they raise",),
        "leave out the second conversion, or change the order of the transforms",
    ),
    Saying(
        "data.transform",
        r"output with shape (?P<a>\[[\d, ]*\]) doesn't match the broadcast shape (?P<b>\[[\d, ]*\])",
        ("`Normalize` has values for other channels: an image {a} would become {b}",),
        ("the mean and std of Normalize are for 3 channels, the image has 1 channel (grey)",),
        "give Normalize one mean and std for each channel, or convert the image to RGB",
        near=r"[nN]ormalize|transforms/",
        wins=True,
    ),
    # ── modules ───────────────────────────────────────────────────────────────────────────────────────────────────────
    Saying("module.forward-args", r"Module \[?(?P<name>\w+)\]? is missing the required \"forward\" function", ("`{name}` does not implement `forward`",), ("the method is missing, misspelt, or indented into another function",), "define `def forward(self, ...)` in the class"),
    Saying(
        "module.forward-args",
        r"forward\(\) (?:takes (?P<takes>.{1,30}?) positional arguments? but (?P<given>\d+) (?:was|were) given|missing (?P<n>\d+) required positional arguments?: (?P<names>[^\n]+)|got an unexpected keyword argument '(?P<key>\w+)')",
        ("forward() takes {takes} arguments and gets {given}", "forward() misses {names}", "forward() has no argument `{key}`"),
        ("the call of a module hands its arguments to `forward`; `self` is counted too",),
        "call the module with the arguments that its forward takes",
    ),
    Saying(
        "module.forward-args",
        r"(?P<op>\w+)\(\): argument '(?P<name>\w+)' \(position (?P<n>\d+)\) must be Tensor, not (?P<kind>\w+)",
        ("`{op}` gets a {kind} as `{name}`, not a Tensor",),
        ("a layer that gives a tuple (an LSTM, an attention, a model's output object) or a batch that is a list or dict was passed on whole",),
        "take the tensor out of it first (`out[0]`, `out.logits`, `batch['x']`)",
    ),
    Saying(
        "module.checkpoint",
        r"invalid load key, '(?P<key>.{1,6}?)'",
        ("the file is no checkpoint: it begins with `{key}`",),
        ("`<` begins a web page (HTML) that was saved instead of the file, `v` a Git LFS pointer (version https://git-lfs…), `{{` a JSON file",),
        "download the file again (git lfs pull; the raw or resolve URL), and compare its size",
        near=r"load|torch|/serialization|\A\Z",
        types=("UnpicklingError",),
    ),
    Saying(
        "module.checkpoint",
        r"Ran out of input|PytorchStreamReader|central directory|unexpected EOF|data was truncated|not a ZIP|[Cc]orrupt",
        ("the checkpoint file is empty, cut short or corrupt",),
        ("a download or save that was interrupted, a full disk, or two processes that wrote the same file leave such a file",),
        "get or save the file again, compare its size; save to a temporary name and rename it",
        near=r"torch\.load|/serialization|load\(|\A\Z",
    ),
    Saying(
        "module.checkpoint",
        r"No module named '(?P<name>[\w.]+)'|Can't get attribute '(?P<attribute>\w+)' on <module",
        ("the checkpoint needs the module `{name}`, which is not here", "the checkpoint needs the class `{attribute}`, which is not here"),
        ("the whole model was saved (`torch.save(model)`): pickle looks for its class in the same module and name",),
        "put the code with that class on the path under the same name, or save and load the `state_dict()` instead",
        near=r"torch\.load|/serialization",
    ),
    Saying("module.optimizer", r"param '(?P<name>initial_lr)' is not specified in param_groups\[(?P<n>\d+)\]", ("a scheduler resumes, and param_groups[{n}] has no `{name}`",), ("last_epoch other than -1 means resuming: the optimizer's state must be loaded before",), "load the optimizer's state_dict first, or leave last_epoch=-1 and load the scheduler's state"),
    Saying("module.optimizer", r"Invalid (?P<what>learning rate|momentum value|weight_decay value|beta parameter at index \d|epsilon value|rho value|nesterov\w*)[^\n]{0,3}: ?(?P<value>[^\n]+)", ("the optimizer gets the {what} {value}",), ("it must lie in its range (a learning rate (lr) is 0 or more)",), "pass a value in its range"),
)  # fmt: skip
