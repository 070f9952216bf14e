"""A Postgres that is away: reported as such, before anything is made in the warehouse."""

from collections.abc import Callable
from pathlib import Path

import pytest

from spark_jobs.publish.feast_definitions import open_store
from spark_jobs.publish.online_stores import (
    OnlineStoreUnavailable,
    online_store,
    reporting_unavailable,
)


def test_an_unavailable_server_is_reported_before_a_registry_is_made(
    free_port: Callable[[], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = str(free_port())
    values = {
        "HOST": "127.0.0.1",
        "PORT": port,
        "DATABASE": "x",
        "USER": "x",
        "PASSWORD": "hunter2",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"EMBEDMILL_POSTGRES_{name}", value)
    store = open_store("feature_repo/postgres.yaml", str(tmp_path))

    with (
        pytest.raises(OnlineStoreUnavailable, match=f"Postgres at 127.0.0.1:{port}") as no,
        reporting_unavailable(store),
    ):
        online_store(store).count_user("ann")

    assert "hunter2" not in str(no.value)
    assert online_store(store).ping().state == "bad"
    assert list(tmp_path.iterdir()) == []
