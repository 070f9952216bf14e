"""Markdown of results."""

from collections.abc import Sequence


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table; the first column is text, the others are numbers."""
    lines = [" | ".join(columns), " | ".join(["---", *["---:"] * (len(columns) - 1)])]
    lines += [" | ".join(str(value) for value in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def share(part: float, whole: float) -> str:
    """Return a share in per cent; nothing of nothing is a dash."""
    return f"{part / whole:.1%}" if whole else "-"
