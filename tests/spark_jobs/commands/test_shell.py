"""What the shell knows by name."""

import pytest

from spark_jobs.commands.shell import OpenedOnUse, shell_names
from spark_jobs.config import Config
from spark_jobs.warehouse.tables import Tables


def test_the_shell_names_every_view_and_runs_sql(analysts_shop: Tables) -> None:
    names = shell_names(analysts_shop, Config())

    source = "n = sql('SELECT count(*) FROM spu_embeddings_live').collect()[0][0]"
    exec(compile(source, "<test>", "exec"), names)

    assert names["n"] == 4
    assert {"spark", "tables", "sql", "store", "refresh"} <= names.keys()


def test_the_store_is_opened_when_it_is_first_used_and_once() -> None:
    opened = []

    def open_it() -> str:
        opened.append(1)
        return "a store"

    store = OpenedOnUse(open_it)
    assert not hasattr(store, "_repr_html_")
    assert opened == []

    assert (store.upper(), store.title()) == ("A STORE", "A Store")
    assert opened == [1]


def test_what_the_store_lacks_is_missing_from_the_name_too() -> None:
    with pytest.raises(AttributeError):
        OpenedOnUse(lambda: "a store").no_such_method()
