"""What the names mean, over the shop of ``analysts_shop.json``."""

from spark_jobs.night import Night
from spark_jobs.queries.views import VIEWS, Catalog
from spark_jobs.warehouse.schemas import schema
from spark_jobs.warehouse.tables import Tables


def values(tables: Tables, view: str, *columns: str) -> list[tuple[object, ...]]:
    return sorted(tuple(row) for row in Catalog(tables).frame(view).select(*columns).collect())


def test_current_is_the_latest_active_row_of_each_key_as_of_the_last_published_night(
    analysts_shop: Tables,
) -> None:
    # s4 is gone; that s1 goes was said by a night that was never published.
    assert values(analysts_shop, "spus_current", "spu_id", "n_items") == [
        ("s1", 3),
        ("s2", 3),
        ("s3", 4),
        ("s5", 1),
    ]
    assert len(values(analysts_shop, "spus", "spu_id")) == 9


def test_current_has_a_row_a_served_release_and_live_has_the_live_ones_alone(
    analysts_shop: Tables,
) -> None:
    current = values(analysts_shop, "spu_embeddings_current", "spu_id", "encoder_version")
    live = values(analysts_shop, "spu_embeddings_live", "spu_id", "encoder_version")

    assert live == [(spu, "cope@000000000001") for spu in ("s1", "s2", "s3", "s5")]
    assert set(current) - set(live) == {
        (spu, "cope@0000000000c1") for spu in ("s1", "s2", "s3", "s5")
    }


def test_a_retired_release_leaves_current(analysts_shop: Tables) -> None:
    catalog = Catalog(analysts_shop)
    catalog.releases = [release for release in catalog.releases if release.name == "r1"]

    versions = catalog.frame("item_embeddings_current").select("encoder_version").distinct()

    assert [row[0] for row in versions.collect()] == ["cope@000000000001"]


def test_tables_that_do_not_exist_yet_are_empty_with_their_columns(tables: Tables) -> None:
    catalog = Catalog(tables)
    for name, view in VIEWS.items():
        frame = catalog.frame(name)
        assert frame.columns == schema(view.table).names, name
        assert frame.isEmpty(), name
    assert catalog.night is None
    assert catalog.live is None


def test_every_name_carries_the_contracts_comments(tables: Tables) -> None:
    catalog = Catalog(tables)
    for name, view in VIEWS.items():
        comments = [column.metadata.get("comment") for column in catalog.frame(name).schema]
        assert comments == [c.metadata["comment"] for c in schema(view.table)], name


def test_events_and_ledgers_have_one_name_and_vectors_three() -> None:
    assert [name for name in VIEWS if name.startswith("interactions")] == ["interactions"]
    assert [name for name in VIEWS if name.startswith("nights")] == ["nights"]
    assert [name for name in VIEWS if name.startswith("user_embeddings")] == [
        "user_embeddings",
        "user_embeddings_current",
        "user_embeddings_live",
    ]


def test_the_catalog_is_as_of_the_last_published_night(analysts_shop: Tables) -> None:
    catalog = Catalog(analysts_shop)

    assert catalog.night == Night.parse("2026-01-31")
    assert catalog.live is not None
    assert catalog.live.name == "r1"
