"""How much of what a model reads is padding? ``padding.py ROWS.json``. Prints JSON.

Tokens that the text backbone reads, padding included, over the tokens there are: 1 is no padding.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from encoders.backbones.text import load_text_backbone
from encoders.hardware import choose_hardware
from spark_jobs.config import EncodingConfig

SETTINGS = EncodingConfig()


def padding_ratio(lengths: Sequence[int]) -> float:
    """Return tokens read over tokens there are, in batches of this order."""
    size = SETTINGS.batch_size
    batches = [lengths[start : start + size] for start in range(0, len(lengths), size)]
    return sum(max(batch) * len(batch) for batch in batches) / sum(lengths)


def buffered(lengths: Sequence[int], by: Sequence[int]) -> list[int]:
    """Return lengths in the order in which the engine encodes: sorted within each buffer."""
    order: list[int] = []
    for start in range(0, len(lengths), SETTINGS.buffer_rows):
        rows = range(start, min(start + SETTINGS.buffer_rows, len(lengths)))
        order += sorted(rows, key=lambda i: -by[i])
    return [lengths[i] for i in order]


def main() -> None:
    """Measure the titles of the file that the argument names."""
    titles = [row["title"] for row in json.loads(Path(sys.argv[1]).read_text())]
    backbone = load_text_backbone("all-minilm-l6-v2", choose_hardware("cpu", "float32"))
    tokens = [len(ids) for ids in backbone.tokenize(titles)]
    figures = {
        "as they come": padding_ratio(tokens),
        "the engine: sorted by characters in buffers": padding_ratio(
            buffered(tokens, [len(title) for title in titles])
        ),
        "sorted by tokens, all at once": padding_ratio(sorted(tokens)),
    }
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
