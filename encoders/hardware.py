"""Hardware: which device and which precision a model runs in on this machine."""

import re
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

PRECISIONS = ("auto", "float32", "bfloat16")

# Below this gain bfloat16 is not worth its rounding, and the choice could flip between two runs.
_WORTHWHILE_SPEED_UP = 1.4
_PROBE_ROUNDS = 5


class UnusableHardware(ValueError):
    """The device or precision that was asked for is not there."""


@dataclass(frozen=True)
class Hardware:
    """Where and in which precision a model computes. Norms are always taken in float32."""

    device: torch.device
    dtype: torch.dtype


def choose_hardware(device: str = "auto", precision: str = "auto") -> Hardware:
    """Return the device and dtype to run a frozen model with.

    ``auto`` takes CUDA where there is one, and bfloat16 where the machine computes it natively; on
    a CPU a short measurement must agree, because emulated bfloat16 is several times slower than
    float32.

    Raises:
        UnusableHardware: unknown precision, or a device that this machine does not have.
    """
    if precision not in PRECISIONS:
        raise UnusableHardware(f"precision should be one of {PRECISIONS}, but is {precision!r}.")
    chosen = _device(device)
    if precision == "auto":
        return Hardware(
            chosen, torch.bfloat16 if _bfloat16_is_faster(chosen.type) else torch.float32
        )
    return Hardware(chosen, torch.bfloat16 if precision == "bfloat16" else torch.float32)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UnusableHardware(f"device should be auto, cpu or cuda, but is {name!r}.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UnusableHardware(
            f"device is {name!r}, but torch finds no CUDA here. Use auto or cpu."
        )
    return device


@cache
def _bfloat16_is_faster(device_type: str) -> bool:
    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device_type != "cpu" or not cpu_has_bfloat16():
        return False
    plain, short = _seconds(torch.float32), _seconds(torch.bfloat16)
    return plain / short > _WORTHWHILE_SPEED_UP


def cpu_has_bfloat16(cpuinfo: str = "/proc/cpuinfo") -> bool:
    """Say whether the CPU's flags name native bfloat16 products (AMX, AVX512 or Arm)."""
    try:
        flags = Path(cpuinfo).read_text(errors="replace")
    except OSError:
        return False
    return (
        re.search(r"^(flags|Features)\b.*\b(amx_bf16|avx512_bf16|bf16)\b", flags, re.M) is not None
    )


def _seconds(dtype: torch.dtype) -> float:
    """Return the best time of a matrix product of the size that backbones are made of."""
    left, right = torch.ones(512, 384, dtype=dtype), torch.ones(384, 1536, dtype=dtype)
    times = []
    with torch.inference_mode():
        for _ in range(_PROBE_ROUNDS):
            started = time.perf_counter()
            torch.matmul(left, right)
            times.append(time.perf_counter() - started)
    return min(times)
