"""Where processor time goes: the driver's Python, its Java, workers, their models and decoding."""

import json
import os
from collections import Counter
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
# Set for the workers, which write what they measured below it.
FOLDER = "EMBEDMILL_BENCH_TIMINGS"


class Clock:
    """Reads processor seconds of this process's family, and what timed workers wrote down."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        os.environ[FOLDER] = str(folder)

    def read(self) -> Counter[str]:
        """Return processor seconds so far, by kind of work."""
        found: Counter[str] = Counter()
        for pid in _family(os.getpid()):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            # Own time, and that of children that have ended.
            used = sum(map(int, fields[11:15])) / _TICKS
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            kind = "driver" if pid == os.getpid() else name
            if kind in ("driver", "java"):
                found[kind] += used
        for file in self._folder.glob("*.json"):
            found.update(json.loads(file.read_text()))
        return found

    def since(self, before: Counter[str]) -> dict[str, float]:
        """Return what was used since ``before``."""
        return {kind: seconds - before[kind] for kind, seconds in self.read().items()}


def _family(root: int) -> list[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(
                    (entry / "stat").read_text().rpartition(")")[2].split()[1]
                )
            except OSError:
                continue
    family, grown = {root}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in family} - family
        family |= more
        grown = bool(more)
    return sorted(family)
