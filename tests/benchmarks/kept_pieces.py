"""Pieces of a benchmark, kept in a folder: a run that was killed goes on where it stopped."""

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Piece = Mapping[str, Any]
_CHECKOUT = Path(__file__).resolve().parents[2]


class KeptPieces:
    """JSON files, one a piece."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def measured(self, name: str, measure: Callable[[], Piece]) -> Piece:
        """Return a piece: as it was kept, or measured now.

        Returns:
            What ``measure`` returned, with the ``seconds`` that it took and the ``commit`` that it
            was measured at.
        """
        file = self._folder / f"{name}.json"
        if not file.exists():
            started = time.monotonic()
            found = {**measure(), "commit": _commit()}
            found["seconds"] = time.monotonic() - started
            part = file.with_suffix(".part")
            part.write_text(json.dumps(found), encoding="utf-8")
            part.replace(file)
        piece: Piece = json.loads(file.read_text(encoding="utf-8"))
        return piece

    def find(self, prefix: str) -> dict[str, Piece]:
        """Return the pieces whose names begin with a prefix, by the rest of the name."""
        files = sorted(self._folder.glob(f"{prefix}*.json"))
        return {
            file.stem.removeprefix(prefix): json.loads(file.read_text(encoding="utf-8"))
            for file in files
        }


def _commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, cwd=_CHECKOUT, capture_output=True, text=True, check=False)
    return done.stdout.strip()
