import errno
import os

import pytest
from PIL import Image, ImageFile, UnidentifiedImageError

from encoders.machine_faults import MachineFault, raise_machine_fault


def _numbered(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        MemoryError("Unable to allocate 3 GiB"),
        *map(_numbered, (errno.EIO, errno.ENOSPC, errno.EMFILE, errno.ENFILE, errno.ENOMEM)),
        ImageFile._get_oserror(-9, encoder=False),  # Pillow's word for a decoder without memory
    ],
    ids=repr,
)
def test_faults_of_the_machine_are_raised_with_the_file_and_what_to_do(error: Exception) -> None:
    with pytest.raises(MachineFault, match=r"'a\.png' could not be read: .*Free memory") as raised:
        raise_machine_fault(error, "a.png")

    assert type(error).__name__ in str(raised.value)


@pytest.mark.parametrize(
    "error",
    [
        UnidentifiedImageError("cannot identify image file"),
        OSError("image file is truncated (3 bytes not processed)"),
        ImageFile._get_oserror(-2, encoder=False),
        Image.DecompressionBombError("Image size exceeds limit"),
        FileNotFoundError(errno.ENOENT, "No such file or directory"),
        PermissionError(errno.EACCES, "Permission denied"),
        ValueError("bad header"),
    ],
    ids=repr,
)
def test_faults_of_the_file_are_left_to_the_caller(error: Exception) -> None:
    raise_machine_fault(error, "a.png")
