"""Patterns that find a user: in rows by column, in texts and logs by the id as a whole word.

``42`` may be a user, a price and an item. An id that is a number counts in a text only where an id
would stand.
"""

import html
import json
import re
from collections.abc import Collection

from pyspark.sql import Column
from pyspark.sql import functions as F

FORGOTTEN_TEXT = "[forgotten]"
# Columns of ledgers with messages, which give keys as examples.
TEXTS = ("detail", "seen")
# The quarantine's columns about a refused row.
_REFUSAL = {"record_key", "payload", "reason"}
# Delta keeps this much of the least and greatest key of a file.
_STATS_LENGTH = 32


def id_as_word(user: str) -> str:
    """Return a pattern, for Python and Java, of the id on a page, in a log or in a message."""
    if user.isdigit():
        return _number(user)
    written = {user, html.escape(user), json.dumps(user)[1:-1]}
    either = "|".join(re.escape(text) for text in sorted(written, key=len, reverse=True))
    return rf"(?<![\w-])(?:{either})(?![\w-])"


def _number(user: str) -> str:
    """Return a pattern of an id of digits alone, most of which on a page are not users.

    It matches in quotes, in a cell, in a list of examples, or after the word "user".
    """
    quoted = rf"(?<=[>\"'|]){user}(?=[<\"'|])"
    listed = rf"(?:(?<=such as )|(?<=, )){user}(?=,|$)"
    named = rf"(?:(?<=user )|(?<=user_id )|(?<=user_id=)|(?<=user_id: )){user}(?![\w.-])"
    return f"(?:{quoted}|{listed}|{named})"


def in_delta_log(user: str) -> re.Pattern[str]:
    """Return a pattern of the id as a key in a Delta log: statistics and conditions."""
    name = r"(?:user_id|record_key)(?:#\d+L?)?"
    # Statistics are JSON within JSON; conditions are SQL.
    equals = r"[\\\"'\s]*[:=][\\\"'\s]*"
    full, cut = re.escape(user), re.escape(user[:_STATS_LENGTH])
    ends = rf"(?:{full}(?![\w-])|{cut})" if len(user) > _STATS_LENGTH else rf"{full}(?![\w-])"
    return re.compile(name + equals + ends)


def columns_about_users(columns: Collection[str]) -> list[str]:
    """Return the columns that may identify a user; none for tables that are not about users."""
    refusal = _REFUSAL if set(columns) >= _REFUSAL else set()
    return [name for name in columns if _names_users(name) or name in {*refusal, *TEXTS}]


def row_of_user(columns: Collection[str], user: str) -> Column | None:
    """Return which rows are a user's; None where no column identifies users.

    Args:
        columns: names of the table's columns.
    """
    conditions = [F.col(name) == F.lit(user) for name in columns if _names_users(name)]
    if set(columns) >= _REFUSAL:
        conditions += _refused_rows(user)
    return _any(conditions)


def text_about_user(columns: Collection[str], user: str) -> Column | None:
    """Return which rows of a ledger mention a user in a message; None where it has no messages."""
    pattern = F.lit(f"(?U){id_as_word(user)}")
    return _any([F.regexp_like(F.col(name), pattern) for name in TEXTS if name in columns])


def redacted_texts(columns: Collection[str], user: str) -> dict[str, Column]:
    """Return a ledger's messages without the user, by column."""
    pattern = F.lit(f"(?U){id_as_word(user)}")
    return {
        name: F.regexp_replace(F.col(name), pattern, F.lit(FORGOTTEN_TEXT))
        for name in TEXTS
        if name in columns
    }


def _refused_rows(user: str) -> list[Column]:
    """Return which rows of the quarantine are events of the user, readable or not."""
    unreadable = F.col("reason") == F.lit("row_unreadable")
    return [
        F.startswith(F.col("record_key"), F.lit(f"{user}|")),
        F.coalesce(F.get_json_object("payload", "$.user_id") == F.lit(user), F.lit(False)),
        unreadable & F.regexp_like(F.col("payload"), F.lit(f"(?U){id_as_word(user)}")),
    ]


def _names_users(column: str) -> bool:
    return column == "user" or column.startswith("user_id")


def _any(conditions: list[Column]) -> Column | None:
    if not conditions:
        return None
    found = F.lit(False)
    for condition in conditions:
        found = found | F.coalesce(condition, F.lit(False))
    return found
