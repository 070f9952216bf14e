import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from spark_jobs.report.spu_map import MOST_GROUPS, OTHER, category_groups, project


def three_clusters(each: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    centres = np.repeat(np.eye(16, dtype=np.float32)[:3], each, axis=0)
    vectors = centres + rng.normal(scale=0.05, size=centres.shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.repeat([0, 1, 2], each)


@pytest.mark.parametrize(("each", "method"), [(5, "PCA"), (20, "PCA, then t-SNE")])
def test_clusters_of_vectors_stay_clusters_on_the_plane(each: int, method: str) -> None:
    vectors, clusters = three_clusters(each)

    placed = project(vectors)

    assert placed.method == method
    assert silhouette_score(placed.plane_N2, clusters) > 0.7
    assert placed.trust is not None
    assert 0.8 < placed.trust <= 1


def test_the_same_vectors_give_the_same_plane() -> None:
    vectors, _ = three_clusters(20)

    assert np.array_equal(project(vectors).plane_N2, project(vectors.copy()).plane_N2)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_few_points_lie_in_the_unit_square(rows: int) -> None:
    placed = project(three_clusters(1)[0][:rows])

    assert placed.plane_N2.shape == (rows, 2)
    assert np.all((placed.plane_N2 >= 0) & (placed.plane_N2 <= 1))
    assert placed.trust is None


def test_equal_vectors_share_the_middle() -> None:
    placed = project(np.ones((4, 3), np.float32) / np.sqrt(3).astype(np.float32))

    assert placed.plane_N2.tolist() == [[0.5, 0.5]] * 4


def test_categories_are_cut_at_the_level_that_leaves_few_groups() -> None:
    paths = [f"Home > Kind {i}" for i in range(MOST_GROUPS + 1)] + ["Shoes > Boots"]

    names, groups = category_groups(paths)

    assert names == ["Home", "Shoes"]
    assert groups == [0] * (MOST_GROUPS + 1) + [1]


def test_whole_paths_are_kept_while_they_are_few() -> None:
    assert category_groups(["a > b", "a > c", "a > c"]) == (["a > c", "a > b"], [1, 0, 0])


def test_small_groups_and_points_without_a_category_are_other() -> None:
    paths = [*[f"c{i:02}" for i in range(MOST_GROUPS)] * 2, "rare", ""]

    names, groups = category_groups(paths)

    assert names == [*[f"c{i:02}" for i in range(MOST_GROUPS)], OTHER]
    assert groups[-2:] == [MOST_GROUPS, MOST_GROUPS]


def test_points_without_categories_are_one_group() -> None:
    assert category_groups(["", ""]) == ([OTHER], [0, 0])
