"""COPE's training data: items with their features and their SPU, as of a night.

Shapes: N items, F features, S scenes, V parts of their pictures.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from encoders.cope.items import Features
from encoders.cope.sampling import CopeData, Parts
from spark_jobs.contracts import DOMAINS, ITEM_FEATURES, ITEMS, SPU_MEMBERS
from spark_jobs.warehouse.snapshot import Snapshot

# As many as a driver of a few gigabytes holds: 2,944 numbers an item are 1.2 GB.
MAX_ITEMS = 100_000
# With the parts of their pictures: 25,600 numbers an item are 2.6 GB.
MAX_SCENES = 25_000
_BUCKETS = 1_000_000


def item_rows(snapshot: Snapshot, features_version: str, columns: Sequence[str]) -> DataFrame:
    """Return ``training_rows`` of a night's items, by one version of the backbones.

    Args:
        columns: of ``item_features``, to be read.
    """
    of_version = F.col("encoder_version") == features_version
    features = snapshot.tables.read(ITEM_FEATURES).filter(of_version)
    return training_rows(
        snapshot.state(ITEMS, ["domain", "item_id", "content_hash"]),
        snapshot.state(SPU_MEMBERS, ["domain", "item_id", "spu_id"]),
        features.select("content_hash", *columns),
        MAX_SCENES if "part_features" in columns else MAX_ITEMS,
    )


def training_rows(
    items: DataFrame, members: DataFrame, features: DataFrame, max_items: int
) -> DataFrame:
    """Join items to their SPU and their features.

    Args:
        items: domain, item_id, content_hash.
        members: domain, item_id, spu_id.
        features: content_hash and outputs of one encoder version.
        max_items: above it, whole SPUs are left out by the hash of their id until about as many
            remain.

    Returns:
        spu_id, domain, item_id, and the outputs: an item a row, in a total order.
    """
    outputs = [name for name in features.columns if name != "content_hash"]
    joined = items.join(members, on=["domain", "item_id"], how="inner").join(
        features.select("content_hash"), on="content_hash", how="left_semi"
    )
    share = min(1.0, max_items / max(1, joined.count()))
    place = F.pmod(F.xxhash64("spu_id"), F.lit(_BUCKETS))
    return (
        joined.filter(place < F.lit(int(share * _BUCKETS)))
        .join(features, on="content_hash", how="inner")
        .select("spu_id", "domain", "item_id", *outputs)
        .orderBy("spu_id", "domain", "item_id")
    )


def cope_data(rows: pa.Table, widths: Mapping[str, int]) -> CopeData:
    """Return the rows of ``training_rows`` as tensors.

    Args:
        widths: of the columns of features, as their encoder gives them.
    """
    spu_ids, spu_N = np.unique(rows["spu_id"].to_pylist(), return_inverse=True)
    domain_N = [DOMAINS.index(domain) for domain in rows["domain"].to_pylist()]
    items = Features(
        torch.tensor(domain_N, dtype=torch.long),
        torch.from_numpy(matrix(rows["image_features"], widths["image_features"])),
        torch.from_numpy(matrix(rows["text_features"], widths["text_features"])),
    )
    return CopeData(
        items,
        torch.from_numpy(spu_N),
        [str(spu) for spu in spu_ids],
        parts=_parts(rows, widths) if "part_features" in widths else None,
    )


def _parts(rows: pa.Table, widths: Mapping[str, int]) -> Parts:
    column = rows["part_features"]
    scenes_S = np.flatnonzero(column.is_valid().to_numpy())
    features_SX = matrix(column.drop_null(), widths["part_features"])
    parts = widths["part_features"] // widths["image_features"]
    return Parts(
        torch.from_numpy(features_SX.reshape(-1, widths["image_features"])),
        item_V=torch.from_numpy(scenes_S.repeat(parts)),
        part_V=torch.arange(parts).repeat(len(scenes_S)),
    )


def matrix(vectors: pa.ChunkedArray, width: int) -> NDArray[np.float32]:
    """Return a column of vectors as one matrix [N, F], NaN where a vector is null."""
    column = vectors.combine_chunks()
    filled: NDArray[np.float32] = np.full((len(column), width), np.nan, np.float32)
    there = np.asarray(column.is_valid())
    filled[there] = column.drop_null().flatten().to_numpy().reshape(-1, width)
    return filled
