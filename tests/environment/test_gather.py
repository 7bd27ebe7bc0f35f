"""Facts as programs print them, and a torch that crashes, hangs or lies in wait."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest

from torchwhy.environment.children import Said, ask
from torchwhy.environment.driver import put_together, read_smi
from torchwhy.environment.gather import ask_torch, heard
from torchwhy.environment.judge import judge
from torchwhy.environment.libraries import in_library_path, of_wheels
from torchwhy.environment.machine import Check, Machine
from torchwhy.render.environment import as_json, check_lines
from torchwhy.render.text import plain

SCHEMA = json.loads((Path(__file__).parents[2] / "src/torchwhy/schema/environment-1.json").read_text(encoding="utf-8"))
SMI = (
    "550.54.14, NVIDIA A100-SXM4-80GB, 81920, 1024, Default, 8.0\n550.54.14, NVIDIA A100-SXM4-80GB, 81920, [N/A], Exclusive_Process, 8.0\n"
)


def test_nvidia_smi_is_read() -> None:
    version, gpus = read_smi(SMI)
    assert version == "550.54.14" and [gpu.capability for gpu in gpus] == [(8, 0), (8, 0)]
    assert gpus[0].used_bytes == 2**30 and gpus[1].used_bytes is None and gpus[1].exclusive
    assert read_smi("470.57, Tesla K80, 11441, 0, Default\n")[1][0].capability is None
    assert read_smi("garbage\n\n,,\n") == ("", ())


def test_smi_and_library_are_put_together() -> None:
    told = {"cuda": [12, 4], "gpus": [{"name": "NVIDIA A100-SXM4-80GB", "capability": [8, 0], "total_bytes": 5}]}
    kernel = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.54.03  Tue Jun  6\n"
    driver = put_together(Said(SMI), Said(json.dumps(told)), kernel, True)
    assert (driver.version, driver.kernel, driver.cuda, len(driver.gpus)) == ("550.54.14", "535.54.03", (12, 4), 1)
    open_kernel = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\n"
    assert put_together(Said(SMI), Said(ended="SIGSEGV"), open_kernel, True).kernel == "580.65.06"
    failed = put_together(Said("NVIDIA-SMI has failed\n", "", "exit code 9"), Said('{"error": "CUDA_ERROR_NO_DEVICE (100)"}'), "", False)
    assert failed.smi_error == "NVIDIA-SMI has failed" and failed.library_error == "CUDA_ERROR_NO_DEVICE (100)" and not failed.gpus
    assert put_together(Said(ended="timeout"), Said(ended="timeout"), "", True).smi_error.startswith("no answer")


def test_what_torch_says_is_kept_up_to_the_crash() -> None:
    lines = [
        {"stage": "importing torch"},
        {"imported": True, "version": "2.9.0", "cuda": "12.8"},
        {"stage": "looking for CUDA"},
        {"gpus": [{"name": "g", "capability": [9, 0], "total_bytes": 1}], "future_field": 1},
        {"trials": [{"device": "cpu", "what": "matmul", "error": ""}]},
        {"trials": [{"device": "cuda:0", "what": "add", "error": ""}]},
    ]
    torch = heard("noise of a library\n" + "\n".join(map(json.dumps, lines)) + '\n[1, 2]\n{"cut', "SIGSEGV")
    assert torch.imported and torch.stage == "looking for CUDA" and torch.ended == "SIGSEGV"
    assert torch.gpus[0].capability == (9, 0) and [trial.device for trial in torch.trials] == ["cpu", "cuda:0"]


def _false_torch(folder: Path, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "torch").mkdir()
    (folder / "torch" / "__init__.py").write_text(body, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")])))


@pytest.mark.parametrize(
    ("body", "ended", "error"),
    [
        pytest.param(
            "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n",
            "SIGSEGV",
            "",
            marks=pytest.mark.skipif(os.name != "posix", reason="signals"),
        ),
        ("import time\ntime.sleep(60)\n", "timeout", ""),
        ("import sys\nsys.exit(3)\n", "", "SystemExit: 3"),
        ("raise ImportError('libcudart.so.12: cannot open shared object file')\n", "", "ImportError: libcudart.so.12: cannot open"),
        ("import os\nos._exit(7)\n", "exit code 7", ""),
    ],
)
def test_a_torch_that_does_not_import(
    body: str, ended: str, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    _false_torch(tmp_path, body, monkeypatch)
    started = time.monotonic()
    torch = ask_torch(seconds=3.0)
    assert time.monotonic() - started < 20
    assert (torch.imported, torch.ended) == (False, ended) and torch.error.startswith(error)


FALSE_TORCH = """
import sys, types
__version__ = "2.9.0+cu128"
class Tensor:
    def __init__(self, size): self.size = size
    def __getitem__(self, key): return self
    def __add__(self, other): return self
    def __matmul__(self, other): return Tensor(2 * self.size)
    def sum(self): return self
    def item(self): return float(self.size)
def ones(*shape, device): return Tensor(32)
def module(name, **held):
    made = types.ModuleType("torch." + name)
    made.__dict__.update(held)
    return made
def fails(): raise RuntimeError("cuDNN version incompatibility: compiled against (9, 10, 2) but found runtime version (9, 1, 0)")
version = module("version", cuda="12.8", hip=None, xpu=None)
_C = module("_C", _cuda_getArchFlags=lambda: "sm_80 sm_90 compute_90")
gpu = types.SimpleNamespace(name="NVIDIA Z1", major=9, minor=0, total_memory=85 * 10**9)
cuda = module("cuda", is_available=lambda: True, device_count=lambda: 2, get_device_properties=lambda index: gpu, nccl=module("nccl", version=lambda: (2, 27, 5)))
distributed = module("distributed", is_available=lambda: True, is_nccl_available=lambda: True)
backends = module("backends", cudnn=module("cudnn", version=fails), mps=module("mps", is_built=lambda: False, is_available=lambda: False))
nn = module("nn", functional=module("functional", conv2d=lambda x, w: Tensor(36)))
"""


def test_a_gpu_is_asked_and_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _false_torch(tmp_path, FALSE_TORCH, monkeypatch)
    torch = ask_torch(seconds=60.0)
    assert torch.imported and not torch.ended and torch.architectures == ("sm_80", "sm_90", "compute_90")
    assert [(gpu.name, gpu.capability) for gpu in torch.gpus] == [("NVIDIA Z1", (9, 0))] * 2
    assert torch.nccl == (2, 27, 5) and torch.cudnn is None and "(9, 1, 0)" in torch.cudnn_error
    assert [f"{t.device} {t.what}" for t in torch.trials if not t.error] == [
        f"cuda:{n} {w}" for n in (0, 1) for w in ("add", "matmul", "convolution")
    ]
    assert [text.partition(":")[0] for text in torch.trouble if "numpy" not in text] == ["multiplying on the CPU"]
    assert "unknown" in {check.verdict for check in judge(Machine(torch=torch)) if check.topic == "torch"}


@pytest.mark.skipif(os.name != "posix", reason="a process group")
def test_a_program_that_leaves_children_does_not_hold_us() -> None:
    started = time.monotonic()
    said = ask([sys.executable, "-c", "import subprocess, time; subprocess.Popen(['sleep', '30']); time.sleep(30)"], 1.0)
    assert said.ended == "timeout" and time.monotonic() - started < 10
    assert ask(["no-such-program-at-all"], 1.0).ended == "missing"


def test_libraries_are_found_by_name(tmp_path: Path) -> None:
    cuda, site = tmp_path / "cuda", tmp_path / "site"
    (site / "nvidia" / "cudnn" / "lib").mkdir(parents=True)
    cuda.mkdir()
    for name in ("libcudnn.so.9.1.0", "libcublasLt.so.12", "libfoo.so.1", "libcudart.a"):
        (cuda / name).write_bytes(b"")
    (cuda / "libcudnn.so.9").symlink_to("libcudnn.so.9.1.0")
    (site / "nvidia" / "cudnn" / "lib" / "libcudnn.so.9").write_bytes(b"")
    found = {one.soname: one.version for one in in_library_path(f"/none::{cuda}")}
    assert found == {"libcudnn.so.9": "9.1.0", "libcublasLt.so.12": "12"}
    assert [one.soname for one in of_wheels({str(site)})] == ["libcudnn.so.9"]


def test_text_of_other_programs_is_made_visible() -> None:
    check = Check("driver", "nvidia-smi said \x1b[31mred\x1b[0m\u202e", "broken", "look\x07", "https://x")
    text = plain(check_lines([check], 100))
    assert "\x1b" not in text and "\x07" not in text and "\\x1b[31mred" in text and "1 broken" in text
    assert json.loads(as_json([check], Machine(), "broken"))["checks"][0]["verdict"] == "broken"


def test_the_command(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "torchwhy", "env", "--json"], capture_output=True, text=True, timeout=240, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    jsonschema.validate(told, SCHEMA)
    topics = {check["topic"] for check in told["checks"]}
    assert {"python", "torch"} <= topics


@pytest.fixture
def quick(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No torch worth the name, so that the command answers at once."""
    _false_torch(tmp_path_factory.mktemp("quick"), "raise ImportError('no torch here')\n", monkeypatch)


@pytest.mark.usefixtures("quick")
def test_a_report_is_written_and_bad_places_are_refused(tmp_path: Path) -> None:
    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "torchwhy", "env", *options], capture_output=True, text=True, timeout=240, cwd=tmp_path
        )

    quiet = run("--quiet", "--report", "env.json")
    assert (quiet.returncode, quiet.stdout) == (0, "") and json.loads((tmp_path / "env.json").read_text())["checks"]
    refused = run("--report", "no/such/folder.json")
    assert refused.returncode == 2 and "can't write" in refused.stderr and len(refused.stderr.splitlines()) == 1
    for line in run("--format", "concise").stdout.splitlines():
        assert ": warning: " in line or ": broken: " in line or ": unknown: " in line


@pytest.mark.usefixtures("quick")
def test_files_of_the_working_directory_are_not_imported(tmp_path: Path) -> None:
    for name in ("random.py", "torch.py"):
        (tmp_path / name).write_text("raise SystemExit('ran')\n", encoding="utf-8")
    done = subprocess.run([sys.executable, "-m", "torchwhy", "env"], capture_output=True, text=True, timeout=240, cwd=tmp_path)
    assert done.returncode == 0 and "`random.py` here" in done.stdout and "`torch.py` here" in done.stdout, done.stderr


def test_bad_options_are_refused() -> None:
    done = subprocess.run([sys.executable, "-m", "torchwhy", "env", "surplus"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
