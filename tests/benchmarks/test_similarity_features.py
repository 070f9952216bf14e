"""Where histograms of similarity are computed: in Feast, on demand, or by the ranking service.

    pytest tests/benchmarks/test_similarity_features.py -m bench -s

In Feast, a view of users has to hold the vectors of each one's history. The ranking service needs
the ids of the history, which it has from its own log, and looks their vectors up: in the online
store, or in a matrix of the catalogue that it loads after each night.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Float32, String
from feast.value_type import ValueType
from result_tables import table

from encoders.ranking.similarity_histograms import BINS, similarity_histogram

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

PAGE = ("similarity-features", "Histograms of similarity: in Feast on demand, or in the service")
PRODUCTS, CANDIDATES, HISTORIES, USERS = 4_700, 100, (20, 256), 20
LEARN, COPE = 64, 128
KINDS = ("learn", "cope")
REPEATS = 5


def vectors(rows: int, width: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    folder = tmp_path_factory.mktemp("similarity")
    (folder / "feature_store.yaml").write_text(
        "project: similarity\nprovider: local\nregistry: registry.db\n"
        "online_store:\n  type: sqlite\n  path: online.db\nentity_key_serialization_version: 3\n"
    )
    store = FeatureStore(repo_path=str(folder))
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
    spu = Entity(name="spu", join_keys=["spu_id"], value_type=ValueType.STRING)
    now = datetime.now(tz=UTC)

    def view(name: str, entity: Entity, columns: dict[str, object]) -> FeatureView:
        frame = pd.DataFrame(columns).assign(event_timestamp=now)
        frame.head(1).to_parquet(folder / f"{name}.parquet")
        key = entity.join_key
        source = FileSource(path=f"{name}.parquet", timestamp_field="event_timestamp", name=name)
        fields = [Field(name=each, dtype=Array(Float32)) for each in columns if each != key]
        made = FeatureView(
            name=name,
            entities=[entity],
            schema=[Field(name=key, dtype=String), *fields],
            source=source,
            ttl=timedelta(days=9),
        )
        store.apply([entity, made])
        store.write_to_online_store(name, frame)
        return made

    spus = view(
        "products",
        spu,
        {
            "spu_id": [f"s{row}" for row in range(PRODUCTS)],
            "learn": list(vectors(PRODUCTS, LEARN, 0)),
            "cope": list(vectors(PRODUCTS, COPE, 1)),
        },
    )
    for size in HISTORIES:
        users = view(
            f"users_{size}",
            user,
            {
                "user_id": [f"u{row}" for row in range(USERS)],
                f"history_learn_{size}": [
                    vectors(size, LEARN, 10 + row).ravel() for row in range(USERS)
                ],
                f"history_cope_{size}": [
                    vectors(size, COPE, 50 + row).ravel() for row in range(USERS)
                ],
            },
        )
        store.apply([_on_demand(size, [users, spus])])
    return store


def _on_demand(size: int, sources: list[FeatureView]) -> object:
    @on_demand_feature_view(
        name=f"histograms_{size}",
        sources=sources,
        schema=[Field(name=f"{kind}_{size}_bins", dtype=Array(Float32)) for kind in KINDS],
        mode="python",
    )
    def histograms(inputs):
        # Feast stores the source: nothing outside is there.
        import numpy as np

        from encoders.ranking.similarity_histograms import similarity_histogram

        columns = {}
        for name in (name for name in inputs if name.startswith("history_")):
            kind, size = name.split("_")[1:]
            rows = []
            for history, candidate in zip(inputs[name], inputs[kind], strict=True):
                offered = np.asarray(candidate, np.float32)[None]
                met = np.asarray(history, np.float32).reshape(-1, offered.shape[1])
                rows.append(similarity_histogram(offered, met)[0].tolist())
            columns[f"{kind}_{size}_bins"] = rows
        return columns

    return histograms


def test_where_histograms_are_computed(store: FeatureStore, sections: list[str]) -> None:
    learn, cope = vectors(PRODUCTS, LEARN, 0), vectors(PRODUCTS, COPE, 1)
    rows = []
    for size in HISTORIES:
        history = np.random.default_rng(size).integers(0, PRODUCTS, size)
        asked = [{"user_id": "u1", "spu_id": f"s{row}"} for row in range(CANDIDATES)]

        def in_feast(asked: list[dict[str, str]] = asked, size: int = size) -> None:
            features = [f"histograms_{size}:{kind}_{size}_bins" for kind in KINDS]
            store.get_online_features(features=features, entity_rows=asked)

        def looked_up(history: np.ndarray = history) -> None:
            ids = [{"spu_id": f"s{row}"} for row in (*range(CANDIDATES), *history)]
            features = [f"products:{kind}" for kind in KINDS]
            found = store.get_online_features(features=features, entity_rows=ids).to_dict()
            for kind in KINDS:
                both = np.array(found[kind], np.float32)
                similarity_histogram(both[:CANDIDATES], both[CANDIDATES:])

        def in_memory(history: np.ndarray = history) -> None:
            for matrix in (learn, cope):
                similarity_histogram(matrix[:CANDIDATES], matrix[history])

        kilobytes = size * (LEARN + COPE) * 4 / 1024
        in_catalogue = PRODUCTS * (LEARN + COPE) * 4 / 2**20
        rows += [
            [f"{size}: on demand in Feast", f"{kilobytes:,.0f} KiB a user", _ms(in_feast)],
            [f"{size}: service, vectors from the online store", "none", _ms(looked_up)],
            [
                f"{size}: service, vectors in memory",
                f"{in_catalogue:.1f} MiB a catalogue",
                _ms(in_memory),
            ],
        ]
    sections.append(
        f"{CANDIDATES} candidates of one user, {BINS} bins, LEARN of {LEARN} and COPE of {COPE} "
        f"numbers, {PRODUCTS:,} products, SQLite; the least of {REPEATS} requests.\n\n"
        + table(["history: computed", "kept beside what there is", "ms a request"], rows)
    )


def _ms(call: Callable[[], None]) -> str:
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return f"{min(seconds) * 1000:,.1f}"
