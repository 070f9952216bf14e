"""How much of what the models read is padding? ``padding.py ROWS.json``. Prints JSON.

Tokens that a model reads, padding included, over the tokens there are: 1 is no padding. Counted in
the engine itself, with the titles of the file as texts of items and as prompts; the networks are
replaced by ones that only count.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import torch

from encoders.backbones.image import load_image_backbone
from encoders.backbones.language_model import load_language_model
from encoders.backbones.text import load_text_backbone
from encoders.cope.features import CopeFeatures
from encoders.cope.preprocessing import Limits
from encoders.hardware import choose_hardware
from encoders.learn.content import LearnContent
from encoders.protocol import Encoder
from encoders.settings import CopeConfig, LearnConfig
from spark_jobs.config import EncodingConfig
from spark_jobs.engine.inference import EncodingTask, encoded_batches

SETTINGS = EncodingConfig()
HARDWARE = choose_hardware("cpu", "float32")


@dataclass
class Counter:
    """A network that counts what it is given."""

    width: int
    real: int = 0
    read: int = 0
    rows: list[int] = field(default_factory=list)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        self.real += int(mask.sum())
        self.read += ids.numel()
        self.rows.append(len(ids))
        return torch.ones(*ids.shape, self.width)

    def figures(self) -> dict[str, float]:
        return {"padding": self.read / self.real, "rows": sum(self.rows) / len(self.rows)}


def engine(encoder: Encoder, columns: dict[str, Sequence[object]], counter: Counter) -> dict:
    """Put rows through the engine and return what the counter saw."""
    task = EncodingTask(
        encoder_path="",
        context=None,
        keys=("row",),
        outputs=encoder.outputs,
        batch_size=SETTINGS.batch_size,
        buffer_rows=SETTINGS.buffer_rows,
        device="cpu",
        precision="float32",
        stage="padding",
    )
    count = len(next(iter(columns.values())))
    batch = pa.RecordBatch.from_pydict({"row": range(count), **columns})
    for _ in encoded_batches([batch], encoder, task):
        pass
    return counter.figures()


def as_they_come(lengths: Sequence[int]) -> dict:
    """Return the figures of padded batches in the order of the rows."""
    size = SETTINGS.batch_size
    batches = [lengths[start : start + size] for start in range(0, len(lengths), size)]
    read = sum(max(batch) * len(batch) for batch in batches)
    return {"padding": read / sum(lengths), "rows": len(lengths) / len(batches)}


def main() -> None:
    """Measure the titles of the file that the argument names."""
    rows = json.loads(Path(sys.argv[1]).read_text())
    titles = [row["title"] for row in rows]
    cope, learn, limits = CopeConfig(), LearnConfig(), Limits()

    text = load_text_backbone(cope.text_backbone, HARDWARE, max_tokens=limits.max_tokens)
    texts = Counter(text.width)
    counting = replace(text, forward=texts.forward)
    images = [load_image_backbone(name, HARDWARE) for name in cope.image_backbones]
    features = CopeFeatures("cope_features@padding", images, counting, limits)
    items = {name: [row[name] for row in rows] for name in features.inputs}

    model = load_language_model(learn.language_model, HARDWARE, max_tokens=128)
    prompts = Counter(model.width)
    content = LearnContent("learn_content@padding", replace(model, forward=prompts.forward))

    figures = {
        "texts as they come, padded": as_they_come([len(ids) for ids in text.tokenize(titles)]),
        "texts in the engine": engine(features, items, texts),
        "prompts as they come, padded": as_they_come([len(ids) for ids in model.tokenize(titles)]),
        "prompts in the engine": engine(content, {"prompt": titles}, prompts),
    }
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
