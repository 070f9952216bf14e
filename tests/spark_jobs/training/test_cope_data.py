import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from spark_jobs.engine.local_frames import local_frame
from spark_jobs.training.cope_data import cope_data, training_rows


def test_cope_data_keeps_rows_and_marks_missing_modalities() -> None:
    rows = pa.table(
        {
            "spu_id": ["b", "a", "b"],
            "domain": ["page", "live", "video"],
            "item_id": ["1", "2", "3"],
            "image_features": pa.array([[1.0, 2.0], None, [3.0, 4.0]], pa.list_(pa.float32())),
            "text_features": pa.array([None, [5.0], None], pa.list_(pa.float32())),
        }
    )

    data = cope_data(rows, {"image_features": 2, "text_features": 1})

    assert data.spu_ids == ["a", "b"]
    assert data.spu_N.tolist() == [1, 0, 1]
    assert data.items.domain_B.tolist() == [0, 2, 1]
    np.testing.assert_array_equal(data.items.image_BI, [[1, 2], [np.nan, np.nan], [3, 4]])
    np.testing.assert_array_equal(data.items.text_BT, [[np.nan], [5], [np.nan]])


@pytest.mark.parametrize(("limit", "fewest", "most"), [(1000, 60, 60), (30, 12, 48)])
def test_training_rows_leave_out_whole_spus_above_the_limit(
    spark: SparkSession, limit: int, fewest: int, most: int
) -> None:
    names = [(f"s{number:02d}", f"{number}-{side}") for number in range(30) for side in "ab"]
    items = local_frame(
        spark,
        [("page", item, f"hash {item}") for _, item in names],
        "domain string, item_id string, content_hash string",
    )
    members = local_frame(
        spark,
        [("page", item, spu) for spu, item in names],
        "domain string, item_id string, spu_id string",
    )
    features = local_frame(
        spark,
        [(f"hash {item}", [1.0], None) for _, item in names],
        "content_hash string, image_features array<float>, text_features array<float>",
    )

    spus = [row["spu_id"] for row in training_rows(items, members, features, limit).collect()]

    assert fewest <= len(spus) <= most
    assert spus == sorted(spus)
    assert all(spus.count(spu) == 2 for spu in set(spus))


def test_parts_of_scenes_know_their_item() -> None:
    features = pa.array([None, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], None], pa.list_(pa.float32()))
    rows = pa.table(
        {
            "spu_id": ["b", "a", "b"],
            "domain": ["page", "live", "video"],
            "item_id": ["1", "2", "3"],
            "image_features": pa.array([[1.0, 2.0]] * 3, pa.list_(pa.float32())),
            "text_features": pa.array([None] * 3, pa.list_(pa.float32())),
            "part_features": features,
        }
    )

    widths = {"image_features": 2, "text_features": 1, "part_features": 6}
    parts = cope_data(rows, widths).parts

    assert parts is not None
    assert parts.image_VI.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert parts.item_V.tolist() == [1, 1, 1]
    assert parts.part_V.tolist() == [0, 1, 2]
