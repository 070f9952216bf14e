"""Erasure of a user from every table, its files, pages and logs, and from the online store.

Killed at any point and run again, it ends in the same state. Afterwards only encoders depend on the
user's rows, being trained on the behaviour of all users; the receipt says so.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import fsspec

from spark_jobs.config import Config
from spark_jobs.engine.scratch import remove_left_behind
from spark_jobs.operations.erasure.online_store import UserOnline, user_online
from spark_jobs.operations.erasure.patterns import (
    FORGOTTEN_TEXT,
    columns_about_users,
    id_as_word,
    redacted_texts,
    row_of_user,
    text_about_user,
)
from spark_jobs.operations.erasure.receipt import Found, Receipt, begin_run, complete_run
from spark_jobs.operations.erasure.search import Search, Trace, found_by_place, read_text, search
from spark_jobs.publish.feast_definitions import open_store
from spark_jobs.publish.materialization import feast_output_logged, feast_session
from spark_jobs.publish.online_stores import reporting_unavailable
from spark_jobs.warehouse.delta_files import (
    delete_rows,
    delta_folders,
    delta_frame,
    drop_history,
    update_rows,
    vacuum,
)
from spark_jobs.warehouse.locks import RELEASES_WAIT, releases_lock
from spark_jobs.warehouse.suppression_list import is_forgotten, suppress
from spark_jobs.warehouse.tables import Tables

if TYPE_CHECKING:
    from feast import FeatureStore

# Entered with the name of each step, for as long as the step takes.
Watch = Callable[[str], AbstractContextManager[object]]


class UnknownUser(LookupError):
    """Nothing is kept of this user."""


class NotForgotten(ValueError):
    """Traces of the user are left after the erasure."""


def forget(tables: Tables, config: Config, user: str, *, watch: Watch) -> Receipt:
    """Remove a user from the warehouse and the online store, and check that nothing is left.

    The caller holds the warehouse's lock. Killed, or stopped by an online store that does not
    answer, it is to be run again; the receipt then accounts for all runs. Readers that opened an
    old version of a table fail and have to open it again: its files are gone.

    Raises:
        UnknownUser: nothing is kept of the user, who was not forgotten before. Nothing was changed.
        NotForgotten: traces are left.
        OnlineStoreUnavailable: its server does not answer.
    """
    if not user.strip():
        raise UnknownUser("the id of a user should not be empty. Nothing was changed.")
    store, online = _online(tables, config, user)
    with reporting_unavailable(store):
        # First, so that nothing is begun while the server is away.
        mentions = online.count()
    with watch("search every file for the user"):
        before = search(tables, user)
        _check_known(tables, user, before, mentions)
        found = found_by_place(tables, user, before.traces)
    found += [Found("online store", "mentions", mentions)] if mentions else []
    # Before any removal: a user whose erasure was killed is not an unknown one, and the next run
    # accounts for what this one removed.
    hashed = suppress(tables, user)
    begin_run(tables.warehouse, hashed, found, online.deletion)
    versions = _erase(tables, user, before, watch)
    # A release that is retired meanwhile takes its views away.
    with (
        watch("online store"),
        reporting_unavailable(store),
        releases_lock(tables.warehouse, wait=RELEASES_WAIT),
    ):
        online.delete()
        left = online.count()
    with watch("search for what is left"):
        after = search(tables, user)
    _refuse_left(after.traces, left)
    return complete_run(tables.warehouse, hashed, versions=versions, files_searched=after.files)


def _check_known(tables: Tables, user: str, before: Search, mentions: int) -> None:
    # A word on a page makes no user.
    known = mentions or any(trace.kind != "page" for trace in before.traces)
    if not (known or is_forgotten(tables, user)):
        raise UnknownUser(
            f"no user {user!r}: none of {before.files:,} files of the warehouse "
            f"{tables.warehouse!r} and no value of the online store is about them. Give the id "
            "as the feed of interactions has it. Nothing was changed."
        )


def _erase(tables: Tables, user: str, found: Search, watch: Watch) -> dict[str, int]:
    """Remove a user from all files; return the version of each table from then on."""
    versions = {}
    for folder in delta_folders(tables.warehouse):
        columns = delta_frame(tables.spark, f"{tables.warehouse}/{folder}").columns
        if columns_about_users(columns):
            with watch(folder):
                versions[folder] = _erase_from_table(tables, folder, columns, user)
    with watch("pages and logs"):
        _redact_pages(tables.warehouse, found.traces, user)
    remove_left_behind(tables.layout.tmp)
    return versions


def _erase_from_table(tables: Tables, folder: str, columns: Sequence[str], user: str) -> int:
    """Remove a user from a table, from its old files and from its log; return its version."""
    path = f"{tables.warehouse}/{folder}"
    rows, texts = row_of_user(columns, user), text_about_user(columns, user)
    if rows is not None:
        delete_rows(tables.spark, path, rows)
    if texts is not None:
        update_rows(tables.spark, path, texts, redacted_texts(columns, user))
    # Even if nothing was found: a run that was killed may have left old files.
    vacuum(tables.spark, path, 0, force=True)
    return drop_history(tables.spark, path)


def _redact_pages(warehouse: str, traces: tuple[Trace, ...], user: str) -> None:
    filesystem, root = fsspec.url_to_fs(warehouse)
    pattern = re.compile(id_as_word(user))
    for trace in (trace for trace in traces if trace.kind == "page"):
        text = pattern.sub(FORGOTTEN_TEXT, read_text(warehouse, trace.where))
        # In place: a log may be open for appending.
        filesystem.pipe_file(f"{root}/{trace.where}", text.encode(errors="surrogateescape"))


def _refuse_left(traces: tuple[Trace, ...], online: int) -> None:
    left = [f"{trace.where} ({trace.count} {trace.kind})" for trace in traces]
    left += [f"online store ({online} mentions)"] if online else []
    if left:
        raise NotForgotten(
            f"traces of the user are left: {'; '.join(left)}. All others are removed. Make sure "
            "that nothing else writes to the warehouse, and run this again."
        )


def _online(tables: Tables, config: Config, user: str) -> tuple["FeatureStore", UserOnline]:
    with feast_session(tables.spark), feast_output_logged():
        store = open_store(config.feature_store.repo, tables.warehouse)
        with reporting_unavailable(store):
            return store, user_online(store, user, tables.warehouse)
