"""Grocery Store as COPE sees it: features of pages and photos, and what is found on new products.

Shapes: N items, S products, B image backbones.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.artifacts import Artifact, encoder_info
from encoders.cope.cross_validation import Split
from encoders.cope.evaluation import retrieval
from encoders.cope.features import feature_artifact, image_widths, load_features, words_width
from encoders.cope.items import Features
from encoders.cope.preprocessing import Limits
from encoders.cope.sampling import CopeData
from encoders.settings import CopeConfig
from spark_jobs.contracts import DOMAINS
from spark_jobs.ingest.datasets.grocery_store import item_rows

NEW_PRODUCTS = 20
_AT_ONCE = 64


@dataclass(frozen=True)
class Grocery:
    """The data set with the features of the frozen backbones.

    Attributes:
        image_widths: of the backbones, [B].
        words_width: of words in pictures, the last of the text features.
        is_test_N: photos of ``test.txt``.
    """

    data: CopeData
    image_widths: Sequence[int]
    words_width: int
    is_test_N: torch.Tensor

    @property
    def is_page_N(self) -> torch.Tensor:
        return self.data.items.domain_B == DOMAINS.index("page")

    @property
    def products(self) -> int:
        return len(self.data.spu_ids)

    def split(self, new_S: torch.Tensor) -> Split:
        """Return what is left out of training: the photos of ``test.txt`` and new products."""
        return Split(new_S, self.is_test_N & ~new_S[self.data.spu_N], self.is_page_N)


def grocery(folder: Path, cache: Path, config: CopeConfig, limits: Limits | None = None) -> Grocery:
    """Return the data set; features of the backbones are kept in ``cache``."""
    rows = item_rows(folder)
    artifact = feature_artifact(config, limits)
    file = cache / f"{artifact.version}.npz"
    if not file.exists():
        np.savez(file, **_features(folder, rows, artifact))
    kept = np.load(file)
    products = [str(row["item_id"]) for row in rows if row["domain"] == "page"]
    of_row = [row["linked_item_ids"] or [row["item_id"]] for row in rows]
    items = Features(
        torch.tensor([DOMAINS.index(str(row["domain"])) for row in rows]),
        torch.from_numpy(kept["image_features"]),
        torch.from_numpy(kept["text_features"]),
    )
    spu_N = torch.tensor([products.index(links[0]) for links in of_row])  # type: ignore[index]
    is_test = torch.tensor(["grocery:test/" in str(row["item_id"]) for row in rows])
    widths = image_widths(encoder_info(artifact.config, artifact.version))
    data = CopeData(items, spu_N, products)
    return Grocery(data, widths, words_width(artifact.config), is_test)


def _features(
    folder: Path, rows: Sequence[Mapping[str, object]], artifact: Artifact
) -> dict[str, NDArray[np.float32]]:
    encoder = load_features(artifact, "cpu", "float32")
    parts = []
    for start in range(0, len(rows), _AT_ONCE):
        chunk = rows[start : start + _AT_ONCE]
        batch = {name: [row.get(name) for row in chunk] for name in ("domain", "title", "text")}
        images = [[_picture(folder / path) for path in row["images"]] for row in chunk]  # type: ignore[attr-defined]
        parts.append(encoder.encode({**batch, "images": images}).vectors)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _picture(path: Path) -> dict[str, str]:
    return {"uri": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def left_out(products: int, split: int) -> torch.Tensor:
    """Return which products are new in a split, [S]."""
    new_S = torch.zeros(products, dtype=torch.bool)
    new_S[np.random.default_rng(split).permutation(products)[:NEW_PRODUCTS]] = True
    return new_S


def figures(emb_ND: torch.Tensor, shop: Grocery, new_S: torch.Tensor) -> dict[str, float]:
    """Return percentages of what test photos, and pages, find.

    Returns:
        Without new products ``seen`` (R@1 among all pages) and ``mAP seen`` (of pages among the
        photos). With such: ``new`` (R@1 of their photos among their pages), ``new, all pages``,
        ``seen, all pages``, the ``harmonic mean`` of these two, and ``mAP new``.
    """
    is_new_N, is_page_N = new_S[shop.data.spu_N], shop.is_page_N
    photos_N = shop.is_test_N

    def found(queries_N: torch.Tensor, candidates_N: torch.Tensor, figure: str) -> float:
        spu_N = shop.data.spu_N
        its = retrieval(
            emb_ND[queries_N], spu_N[queries_N], emb_ND[candidates_N], spu_N[candidates_N]
        )
        assert its is not None
        return 100 * its.means[figure]

    if not new_S.any():
        return {
            "seen": found(photos_N, is_page_N, "R@1"),
            "mAP seen": found(is_page_N, photos_N, "mAP"),
        }
    new, seen = (found(photos_N & chosen_N, is_page_N, "R@1") for chosen_N in (is_new_N, ~is_new_N))
    return {
        "new": found(photos_N & is_new_N, is_page_N & is_new_N, "R@1"),
        "new, all pages": new,
        "seen, all pages": seen,
        "harmonic mean": 2 * new * seen / (new + seen),
        "mAP new": found(is_page_N & is_new_N, photos_N & is_new_N, "mAP"),
    }
