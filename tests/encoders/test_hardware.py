from pathlib import Path

import pytest
import torch

from encoders.hardware import UnusableHardware, choose_hardware, cpu_has_bfloat16


@pytest.mark.parametrize(
    ("flags", "native"),
    [
        ("flags\t: fpu avx512f avx512_bf16 sse", True),
        ("flags\t: fpu amx_bf16 amx_tile", True),
        ("Features\t: fp asimd bf16", True),
        ("flags\t: fpu avx2 avx512f", False),
        ("model name\t: with bf16 in its name", False),
    ],
)
def test_native_bfloat16_is_read_off_the_flags(tmp_path: Path, flags: str, native: bool) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{flags}\n")

    assert cpu_has_bfloat16(str(tmp_path / "cpuinfo")) is native


def test_a_machine_without_cpuinfo_has_none(tmp_path: Path) -> None:
    assert not cpu_has_bfloat16(str(tmp_path / "absent"))


def test_what_is_asked_for_is_taken() -> None:
    assert choose_hardware("cpu", "bfloat16").dtype is torch.bfloat16
    assert choose_hardware("cpu", "float32").dtype is torch.float32


def test_auto_gives_the_same_answer_all_along() -> None:
    assert choose_hardware() == choose_hardware()


@pytest.mark.parametrize(("device", "precision"), [("gpu!", "auto"), ("cpu", "float16")])
def test_what_is_not_there_is_refused(device: str, precision: str) -> None:
    with pytest.raises(UnusableHardware, match="should be"):
        choose_hardware(device, precision)
