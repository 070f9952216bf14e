"""Choice of the device and the precision that a model runs in on this machine."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

PRECISIONS = ("auto", "float32", "bfloat16")


class UnusableHardware(ValueError):
    """The device or precision that was asked for is not there."""


@dataclass(frozen=True)
class Hardware:
    """Where and in which precision a model computes. Norms are always taken in float32."""

    device: torch.device
    dtype: torch.dtype


def choose_hardware(device: str = "auto", precision: str = "auto") -> Hardware:
    """Return the device and dtype to run a frozen model with.

    ``auto`` takes CUDA where there is one, and bfloat16 where the machine computes it natively, for
    emulated bfloat16 is several times slower than float32. It is read off the machine and not
    measured: two busy workers would measure differently, and a rerun would get other bits.

    Raises:
        UnusableHardware: unknown precision, or a device that this machine does not have.
    """
    if precision not in PRECISIONS:
        raise UnusableHardware(f"precision should be one of {PRECISIONS}, but is {precision!r}.")
    chosen = _device(device)
    if precision == "auto":
        return Hardware(chosen, torch.bfloat16 if _has_bfloat16(chosen.type) else torch.float32)
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


def _has_bfloat16(device_type: str) -> bool:
    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device_type == "cpu" and cpu_has_bfloat16()


@cache
def cpu_has_bfloat16(cpuinfo: str = "/proc/cpuinfo") -> bool:
    """Return whether the CPU's flags name native bfloat16 products (AMX, AVX512 or Arm)."""
    try:
        flags = Path(cpuinfo).read_text(errors="replace")
    except OSError:
        return False
    return (
        re.search(r"^(flags|Features)\b.*\b(amx_bf16|avx512_bf16|bf16)\b", flags, re.M) is not None
    )
