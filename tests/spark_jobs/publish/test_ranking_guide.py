"""The guide for ranking teams does what it says: its code runs, in order, in one namespace.

Against two nights of literal rows, of two releases: r1 is live, and r2, whose vectors are narrower,
is validated and was backfilled for the second night alone.
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from spark_jobs.config import Config
from spark_jobs.contracts import TABLES
from spark_jobs.night import Night
from spark_jobs.publish import materialize_job
from spark_jobs.publish.commit import publish_tables, record_night
from spark_jobs.publish.feast_definitions import apply_definitions, open_store
from spark_jobs.publish.materialization import feast_output_logged, feast_session
from spark_jobs.releases import ledger
from spark_jobs.releases import transitions as steps
from spark_jobs.warehouse.tables import Tables

CHECKOUT = Path(__file__).resolve().parents[3]
GUIDE = CHECKOUT / "docs" / "guides" / "ranking-teams.md"
FIRST, SECOND = Night.parse("2026-01-31"), Night.parse("2026-02-01")
PORT = "6566"


@dataclass
class Told:
    """What the guide's code came to."""

    names: dict[str, Any] = field(default_factory=dict)
    curled: list[dict[str, Any]] = field(default_factory=list)
    live: list[str | None] = field(default_factory=list)
    port_taken: str = ""
    refused: int = 0


@pytest.fixture(scope="module")
def warehouse(
    spark: SparkSession, staging: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Tables:
    tables = Tables(spark, str(tmp_path_factory.mktemp("guide") / "warehouse"))
    for encoders in (staging.ENCODERS, staging.OTHER_ENCODERS):
        steps.create_release(tables, encoders)
        folder = Path(tables.warehouse, "encoders", encoders["semantic_id"])
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({"levels": 3, "size": 4}))
    steps.promote(tables, "r1")
    _publish(tables, staging, FIRST, _rows(staging, "r1", user=["u1"], spus=["s1", "s2"]))
    steps.validate(tables, "r2")
    _publish(
        tables,
        staging,
        SECOND,
        _rows(staging, "r2", user=["u1", "u2"], spus=["s1", "s2"])
        | {"spus": staging.spu_rows(["s1"], price=12.0)},
        users=staging.vector_rows(staging.user_keys(["u2"]), "learn_user", 64, seed=3007),
    )
    materialize_job.run(tables, Config(), SECOND)
    return tables


def _rows(
    staging: ModuleType, release: str, *, user: Sequence[str], spus: Sequence[str]
) -> dict[str, list[dict[str, object]]]:
    """Return the rows of a release: r1's vectors are 128 and 64 wide, r2's half of that."""
    first = release == "r1"
    encoders, cope, learn = (
        (staging.ENCODERS, 128, 64) if first else (staging.OTHER_ENCODERS, 64, 32)
    )
    of_spus, of_users = staging.spu_keys(spus), staging.user_keys(user)
    vectors, seed = staging.vector_rows, 0 if first else 500
    return {
        "spus": staging.spu_rows(spus),
        "spu_embeddings": vectors(of_spus, "cope", cope, seed=seed + 1000, encoders=encoders),
        "spu_preference_embeddings": vectors(
            of_spus, "learn_item", learn, seed=seed + 2000, encoders=encoders
        ),
        "user_embeddings": vectors(
            of_users, "learn_user", learn, seed=seed + 3000, encoders=encoders
        ),
        "spu_semantic_ids": staging.semantic_rows(spus, encoders=encoders),
    }


def _publish(
    tables: Tables,
    staging: ModuleType,
    night: Night,
    rows: Mapping[str, list[dict[str, object]]],
    *,
    users: Sequence[dict[str, object]] = (),
) -> None:
    for name, staged in rows.items():
        more = list(users) if name == "user_embeddings" else []
        staging.stage(tables, TABLES[name], night, staged + more)
    publish_tables(tables, night, rows)
    record_night(tables, night, "published")


@pytest.fixture(scope="module")
def told(warehouse: Tables, free_port: Callable[[], int]) -> Iterator[Told]:
    """Run the guide from top to bottom."""
    told, port = Told(), str(free_port())
    servers: list[subprocess.Popen[bytes]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(CHECKOUT)
        patch.setenv("EMBEDMILL_WAREHOUSE", warehouse.warehouse)
        try:
            for language, code in _blocks():
                _run(language, code.replace(PORT, port), told, servers, warehouse)
            told.port_taken = _served_in_vain(port)
            told.refused = _status(port, "ranking__r9")
            yield told
        finally:
            for server in servers:
                server.terminate()
                server.wait(timeout=30)


def _blocks() -> list[tuple[str, str]]:
    return re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE.read_text(), re.DOTALL | re.MULTILINE)


def _run(
    language: str,
    code: str,
    told: Told,
    servers: list["subprocess.Popen[bytes]"],
    warehouse: Tables,
) -> None:
    if language == "python":
        with feast_session(warehouse.spark), feast_output_logged():
            exec(compile(code, str(GUIDE), "exec"), told.names)
    elif code.startswith("feast "):
        servers.append(_started(code))
    elif code.startswith("curl "):
        run = subprocess.run(["bash", "-c", code], check=True, capture_output=True)
        told.curled.append(json.loads(run.stdout))
    elif code.startswith("embedmill release "):
        for line in code.splitlines():
            told.live.append(_moved(line, warehouse))
    else:
        assert language == "toml" or code.startswith("export "), f"nothing runs {code!r}"


def _command(code: str) -> list[str]:
    program, *arguments = code.split()
    return [str(Path(sys.executable).with_name(program)), *arguments]


def _started(code: str) -> "subprocess.Popen[bytes]":
    server = subprocess.Popen(_command(code), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    port = code.split("--port ")[1].strip()
    deadline = time.monotonic() + 120
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return server
        except URLError:
            time.sleep(0.2)
    server.kill()
    raise TimeoutError(f"{code!r} does not answer, exit status {server.wait()}")


def _served_in_vain(port: str) -> str:
    command = _command(f"feast -c feature_repo serve --host 127.0.0.1 --port {port}")
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode != 0
    return run.stderr + run.stdout


def _status(port: str, service: str) -> int:
    body = {"feature_service": service, "entities": {"user_id": ["u1"], "spu_id": ["s1"]}}
    request = Request(
        f"http://127.0.0.1:{port}/get-online-features",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with pytest.raises(HTTPError) as refused:
        urlopen(request, timeout=10)
    return refused.value.code


def _moved(line: str, warehouse: Tables) -> str | None:
    """Take the step of ``embedmill release ...`` without its look at the encoders' weights."""
    said = re.fullmatch(r"embedmill release (\w+) --config my.toml ?(\w+)?", line)
    assert said, line
    taken = {"promote": steps.promote, "retire": steps.retire, "rollback": steps.rollback}
    taken[said[1]](warehouse, *([said[2]] if said[2] else []))
    store = open_store("feature_repo", warehouse.warehouse)
    with feast_output_logged():
        apply_definitions(store, warehouse.warehouse)
    live = ledger.live_release(warehouse)
    return live.name if live else None


def test_online_features_are_those_of_the_pinned_release(told: Told, staging: ModuleType) -> None:
    answer = told.names["answer"]
    assert list(answer["spu_cope"]) == [staging.vector(i, 128) for i in (1000, 1001, 1000, 1000)]
    assert answer["user_preference"][0] == staging.vector(3000, 64)
    assert answer["user_preference"][2] is None
    cosine = sum(
        a * b for a, b in zip(staging.vector(3000, 64), staging.vector(2000, 64), strict=True)
    )
    assert answer["user_spu_affinity"][0] == pytest.approx(cosine, abs=1e-6)
    assert pd.isna(answer["user_spu_affinity"][2])
    assert list(answer["price"]) == [12.0, 10.0, 12.0, 12.0]


def test_a_visitor_without_an_id_costs_no_other_row(told: Told) -> None:
    visitor = told.names["answer"].iloc[3]
    assert visitor["user_id"] is None
    assert visitor[["user_preference", "n_events", "user_spu_affinity"]].isna().all()
    assert visitor["spu_cope"] == told.names["answer"]["spu_cope"][0]


def test_http_returns_the_same_features_as_python(told: Told) -> None:
    # Over HTTP the visitor without an id asks with the empty text.
    answer, over_http = told.names["answer"].fillna({"user_id": ""}), told.names["over_http"]
    assert set(over_http) == set(answer.columns)
    for name in answer.columns:
        expected = [None if _is_null(value) else value for value in answer[name]]
        assert over_http[name] == expected, name
    (curled,) = told.curled
    names = curled["metadata"]["feature_names"]
    values = [column["values"] for column in curled["results"]]
    assert dict(zip(names, values, strict=True)) == over_http


def _is_null(value: object) -> bool:
    return value is None or value != value


def test_a_training_row_has_the_features_known_at_its_time(told: Told, staging: ModuleType) -> None:
    training = told.names["training"]
    assert list(training["clicked"]) == [0, 1, 0]
    assert training.loc[0, ["user_preference", "price", "c1"]].isna().all()
    assert list(training["user_preference"][1]) == staging.vector(3000, 64)
    assert list(training["user_preference"][2]) == staging.vector(3007, 64)
    assert list(training["price"][1:]) == [10.0, 10.0]
    again = told.names["again"].sort_values("event_timestamp", ignore_index=True)
    pd.testing.assert_frame_equal(again, training, check_like=True)


def test_prefixes_of_semantic_ids_are_embedded(told: Told) -> None:
    import torch

    embedding = told.names["embedding"]
    assert [level.num_embeddings for level in embedding.levels] == [5, 17, 65]
    codes = torch.tensor([[1, 2, 3], [1, 2, 0], [-1, -1, -1]])
    first, second, third = (level.weight for level in embedding.levels)
    read = embedding(codes)
    torch.testing.assert_close(read[0], first[2] + second[1 * 4 + 2 + 1] + third[16 + 8 + 3 + 1])
    torch.testing.assert_close(read[1] - third[16 + 8 + 0 + 1], read[0] - third[16 + 8 + 3 + 1])
    assert not read[2].any()
    assert told.names["losses"][-1] < told.names["losses"][0]


def test_histograms_of_training_and_of_a_request_count_the_same(
    told: Told, staging: ModuleType
) -> None:
    counts, in_training = told.names["counts"], told.names["counts_in_training"]
    cope = [staging.vector(i, 128) for i in (1000, 1001)]
    cosine = sum(a * b for a, b in zip(*cope, strict=True))
    place = 0 if cosine < 0 else 1 + int(cosine * 11)
    assert counts.sum(axis=1).tolist() == [3, 3]
    assert counts[:, -1].tolist() == [1, 2]  # itself in the history
    assert counts[:, place].tolist() == [2, 1]
    # Nothing was known at the first event.
    assert in_training.sum(axis=1).tolist() == [0, 2, 1]
    assert in_training[1, [place, 11]].tolist() == [1, 1]


def test_two_releases_are_read_side_by_side(told: Told, staging: ModuleType) -> None:
    old, new = (told.names["side_by_side"][name] for name in ("r1", "r2"))
    assert list(old["spu_cope"]) == [staging.vector(1000, 128), staging.vector(1001, 128)]
    assert list(new["spu_cope"]) == [staging.vector(1500, 64), staging.vector(1501, 64)]
    assert set(old.columns) == set(new.columns)
    # Backfilled from the second night on: one event alone is late enough.
    on_r2 = told.names["on_r2"]
    assert list(on_r2["user_id"]) == ["u2"]
    assert list(on_r2["user_preference"].iloc[0]) == staging.vector(3501, 32)


def test_ranking_moves_and_a_retired_release_is_an_error(told: Told) -> None:
    assert told.live == ["r2", "r1", "r2", "r2"]
    assert told.names["live"] == "r2"
    assert told.names["told"] == ("Feature service ranking__r1 does not exist in project embedmill")
    assert told.refused == 404


def test_a_port_that_is_taken_is_named(told: Told) -> None:
    assert "Connection in use: ('127.0.0.1', " in told.port_taken
    assert "Can't connect to" in told.port_taken
