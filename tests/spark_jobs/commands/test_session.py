"""Opening a warehouse migrates it, under the lock that the command holds or that is free."""

from unittest.mock import Mock, create_autospec

import pytest

from spark_jobs.commands import session
from spark_jobs.config import Config
from spark_jobs.warehouse import migration


@pytest.fixture
def config(tmp_path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setattr(session, "build_session", create_autospec(session.build_session))
    monkeypatch.setattr(session, "log_to", create_autospec(session.log_to))
    for name in ("migrate", "migrate_if_free"):
        monkeypatch.setattr(session, name, create_autospec(getattr(migration, name)))
    return Config(warehouse=str(tmp_path))


def test_a_command_that_holds_the_lock_migrates_in_any_case(config: Config) -> None:
    tables = session.open_tables(config, locked=True)

    session.migrate.assert_called_once_with(tables)  # type: ignore[attr-defined]
    session.migrate_if_free.assert_not_called()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("migrated", "warned"), [(True, False), (False, True)])
def test_another_command_says_so_where_it_cannot_migrate(
    config: Config, monkeypatch: pytest.MonkeyPatch, migrated: bool, warned: bool
) -> None:
    monkeypatch.setattr(session, "migrate_if_free", Mock(return_value=migrated))

    with session.console.capture() as printed:
        session.open_tables(config)

    assert ("ledgers are those of an earlier version" in printed.get()) == warned
    session.migrate.assert_not_called()  # type: ignore[attr-defined]
