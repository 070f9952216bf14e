from spark_jobs.report.categories import MOST_GROUPS, OTHER, category_groups


def test_categories_are_cut_where_they_leave_few_groups() -> None:
    paths = [f"Home > Kind {i}" for i in range(MOST_GROUPS + 1)] + ["Shoes > Boots"]

    names, groups = category_groups(paths)

    assert names == ["Home", "Shoes"]
    assert groups == [0] * (MOST_GROUPS + 1) + [1]


def test_whole_paths_are_kept_while_they_are_few_largest_first() -> None:
    assert category_groups(["a > b", "a > c", "a > c"]) == (["a > c", "a > b"], [1, 0, 0])


def test_what_is_past_the_largest_groups_or_has_no_category_is_other() -> None:
    paths = [*[f"c{i:02}" for i in range(MOST_GROUPS)] * 2, "rare", ""]

    names, groups = category_groups(paths)

    assert names == [*[f"c{i:02}" for i in range(MOST_GROUPS)], OTHER]
    assert groups[-2:] == [MOST_GROUPS, MOST_GROUPS]


def test_points_without_any_category_are_one_group() -> None:
    assert category_groups(["", ""]) == ([OTHER], [0, 0])
