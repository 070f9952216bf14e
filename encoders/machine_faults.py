"""Machine faults: errors of the machine (no memory, no files), not of the input at hand.

An input that cannot be read is recorded and left out, for good: its vectors are kept without it. A
machine that is out of memory or of files says nothing of the input, so such errors end the stage.
"""

import errno

_ERRNOS = frozenset(
    {
        errno.EDQUOT,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOSPC,
        errno.ESTALE,
    }
)
# What Pillow makes of a decoder that got no memory: an OSError without a number.
_PILLOW_MEMORY = "out of memory"


class MachineFault(RuntimeError):
    """The machine, and not the input, ended the work on it."""


def raise_machine_fault(error: Exception, uri: str) -> None:
    """Raise ``MachineFault`` if an error met on a file is the machine's; return otherwise.

    Args:
        uri: the file, for the message.

    Raises:
        MachineFault: out of memory, of files, of disk, or a device that fails.
    """
    if is_machine_fault(error):
        raise MachineFault(
            f"{uri!r} could not be read: {type(error).__name__}: {error or 'no memory was left'}. "
            "This is a fault of the machine and not of the file, so nothing was recorded about "
            "it. Free memory, disk or open files, or run fewer workers (spark.master), then run "
            "the night again. If it is this file every time, take it out of the feed."
        ) from error


def is_machine_fault(error: Exception) -> bool:
    """Whether an error says something of the machine alone."""
    if isinstance(error, OSError):
        return error.errno in _ERRNOS or str(error).startswith(_PILLOW_MEMORY)
    return isinstance(error, MemoryError)
