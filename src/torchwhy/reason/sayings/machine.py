"""Messages on memory, GPUs, processes and the compiler."""

from __future__ import annotations

from .saying import Saying

SAYINGS = (
    Saying(
        "memory.cuda",
        r"CUDA error: out of memory|cudaErrorMemoryAllocation|CUDA_ERROR_OUT_OF_MEMORY",
        ("the GPU's memory is full: CUDA got no more of it",),
        ("the driver refused, not PyTorch's allocator, so no numbers are given: another process holds the GPU, or a context or library asks for its part",),
        "see who holds the memory (nvidia-smi), choose another GPU (CUDA_VISIBLE_DEVICES), or use a smaller batch",
    ),
    Saying(
        "memory.cpu",
        r"[Uu]nable to allocate (?P<amount>[\d.]+ [KMGTPE]iB) for an array with shape (?P<shape>\([\d, ]+\)) and data type (?P<kind>\w+)",
        ("NumPy asks for {amount}: a {shape} array of {kind}",),
        ("the computer's memory (RAM) can't hold it",),
        "work in chunks, take a smaller dtype, or a memory-mapped file",
    ),
    Saying(
        "cuda.driver",
        r"Error (?P<code>80[234])[:,] (?P<words>[^\n]+)",
        ("CUDA can't start on this machine: error {code}",),
        ("CUDA says error {code}: {words}",),
        "see the driver's version (nvidia-smi) against torch.version.cuda",
    ),
    Saying(
        "cuda.library",
        r"(?P<code>nccl\w+Error|ncclInvalid\w+|ncclInProgress)(?:: (?P<words>[^\n]+))?",
        ("NCCL answers `{code}`",),
        ("NCCL's result code is {code}: {words}", "NCCL_DEBUG=INFO prints what it was doing before"),
        "run with NCCL_DEBUG=INFO and read the first warning",
    ),
    Saying(
        "cuda.library",
        r"detected CUDA version \((?P<here>[\d.]+)\)\s+mismatches the version that was used to compile\s+PyTorch \((?P<built>[\d.]+)\)",
        ("the toolkit here is CUDA {here}, this PyTorch was built with {built}",),
        ("an extension is compiled by the toolkit (nvcc) that CUDA_HOME or the path names, and linked with PyTorch's CUDA {built}",),
        "install the CUDA toolkit {built} and let CUDA_HOME name it, or the build of PyTorch for CUDA {here}",
        wins=True,
    ),
    Saying(
        "dist.collective",
        r"Expected parameter `(?P<name>\w+)` (?:of type|to be of type) (?P<wants>[\w.\[\]]+)\s+but got <?(?:class '(?P<kind>[\w.]+)'>|(?P<other>[\w.\[\]]+))",
        ("a collective gets a `{kind}` as `{name}`, it takes a {wants}", "a collective gets no {wants} as `{name}`"),
        ("collectives work on tensors in place: a Python number has no memory that the ranks could fill",),
        "pass a tensor: `t = torch.tensor(value, device=device)`, then all_reduce(t) and t.item()",
    ),
    Saying(
        "dist.init",
        r"Distributed package doesn't (?:have|include) (?P<name>\w+)|(?P<no>Distributed package is not available)",
        ("this build of PyTorch has no {name} backend", "this build of PyTorch has no distributed package"),
        ("`nccl` needs Linux, a GPU and a CUDA build; `gloo` works everywhere",),
        'use backend="gloo" here (init_process_group), or install a build that has the backend',
    ),
    Saying(
        "dist.init",
        r"network addresses of \(?(?P<host>[\w.-]+), (?P<port>\d+)\)? cannot be retrieved[^\n]*",
        ("the host `{host}` of the rendezvous can't be resolved",),
        ("no address is known for {host} (port {port}): MASTER_ADDR is wrong, or its pod or node is not up yet",),
        "set MASTER_ADDR to a host name or address that every node can resolve and reach",
    ),
    Saying(
        "dist.init",
        r"ProcessGroupNCCL is only supported with GPUs, no GPUs found",
        ("the NCCL backend finds no GPU in this process",),
        ("`nccl` works on CUDA tensors only; CUDA_VISIBLE_DEVICES, a container without its GPUs, or a CPU build hide them",),
        'see that torch.cuda.is_available() is true, or use init_process_group("gloo")',
    ),
    Saying(
        "dist.init",
        r"connectFullMesh failed with (?P<why>[^\n]+)",
        ("the ranks of a gloo group can't connect to each other",),
        ("every rank connects to every other by the address of its network interface; a firewall, a wrong interface or a host name of 127.0.1.1 prevents it",),
        "set GLOO_SOCKET_IFNAME to the interface that the hosts share, and see that their host names resolve to it",
    ),
    Saying(
        "dist.init",
        r"[Ss]ocket [Tt]imeout|wait timeout after",
        ("the store of the process group did not answer in time",),
        ("a rank waits for a key in the store of rank 0 that no rank has written: a rank did not start, died before, or rank 0 can't be reached",),
        "see that every rank starts and reaches MASTER_ADDR and MASTER_PORT; read the logs of the missing ranks",
        types=("DistStoreError", "DistNetworkError"),
    ),
    Saying(
        "compile.backend",
        r"out of resource: (?P<what>[\w ]+), Required: (?P<need>\d+), Hardware limit: (?P<limit>\d+)",
        ("a Triton kernel needs {need} bytes of {what}, the GPU has {limit}",),
        ("the block sizes and num_stages that were tried are made for a larger GPU",),
        "use smaller block sizes or fewer num_stages, another version of triton, or no max-autotune",
        wins=True,
    ),
    Saying(
        "compile.dynamic-shape",
        r"Could not (?:guard on|extract specialized integer from) data-dependent expression (?P<what>[^\n(]+)",
        ("the compiler can't decide `{what}`: it depends on data",),
        ("a symbol such as `u0` is a number that was read from a tensor (`.item()`, `.tolist()`, `nonzero`): it is not known while the graph is made",),
        "tell its range with torch._check(...), or keep the number out of the compiled part",
    ),
    Saying(
        "compile.backend",
        r"Cannot find a working triton installation|triton[^\n]{0,60}(?:not (?:found|installed|available)|too old)|No module named 'triton",
        ("Triton, which the compiler needs for the GPU, is not installed or too old",),
        ("`inductor` writes GPU kernels in Triton; on Windows it comes as triton-windows",),
        "install triton in the version that this torch wants, or use backend='eager'",
    ),
    Saying("compile.backend", r"Python\.h: No such file", ("the C++ compiler finds no `Python.h`: the Python headers are missing",), (), "install the headers (apt install python3-dev), or run without torch.compile"),
)  # fmt: skip
