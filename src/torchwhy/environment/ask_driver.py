"""Run as a program: asks `libcuda`, NVIDIA's driver library, without torch, and prints one line of JSON."""

from __future__ import annotations

import ctypes
import json
import sys

_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76


def main() -> dict[str, object]:
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        cuda = ctypes.CDLL(name)
    except OSError as error:
        return {"error": f"{error}"}
    version = ctypes.c_int()
    told: dict[str, object] = {}
    if cuda.cuDriverGetVersion(ctypes.byref(version)) == 0:
        told["cuda"] = [version.value // 1000, version.value % 1000 // 10]
    code = cuda.cuInit(0)
    if code != 0:
        return {**told, "error": _name(cuda, code)}
    count = ctypes.c_int()
    cuda.cuDeviceGetCount(ctypes.byref(count))
    return {**told, "gpus": [_gpu(cuda, index) for index in range(count.value)]}


def _gpu(cuda: ctypes.CDLL, index: int) -> dict[str, object]:
    device, total, text = ctypes.c_int(), ctypes.c_size_t(), ctypes.create_string_buffer(256)
    numbers = (ctypes.c_int(), ctypes.c_int())
    cuda.cuDeviceGet(ctypes.byref(device), index)
    cuda.cuDeviceGetName(text, len(text), device)
    for number, attribute in zip(numbers, (_CAPABILITY_MAJOR, _CAPABILITY_MINOR)):
        cuda.cuDeviceGetAttribute(ctypes.byref(number), attribute, device)
    cuda.cuDeviceTotalMem_v2(ctypes.byref(total), device)
    return {
        "name": text.value.decode("utf-8", "replace"),
        "capability": [number.value for number in numbers],
        "total_bytes": total.value,
    }


def _name(cuda: ctypes.CDLL, code: int) -> str:
    text = ctypes.c_char_p()
    if cuda.cuGetErrorName(code, ctypes.byref(text)) == 0 and text.value:
        return f"{text.value.decode('ascii', 'replace')} ({code})"
    return f"error {code}"


if __name__ == "__main__":
    print(json.dumps(main()))
