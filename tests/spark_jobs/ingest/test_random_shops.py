"""Random shops in every format, with random breakage: each row that lies in a file is taken or
refused, once.
"""

import bz2
import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spark_jobs.contracts import QUARANTINE
from spark_jobs.ingest_config import Source

# What exports hold beside letters: delimiters, quotes, ends of lines, what JSON and globs escape.
_TEXTS = st.text(st.sampled_from("aß語😀 ,;|\t\"'\\/[]{}:*?<>&\n\r\u2028\u00a0\ufeff"), max_size=12)
_ITEM = st.fixed_dictionaries(
    {
        "title": _TEXTS,
        "text": st.none() | _TEXTS,
        "brand": st.none() | _TEXTS,
        "price": st.sampled_from([None, 0, 1.5, -1, 1e300, 12]),
        "broken": st.sampled_from([None, None, None, "cut", "junk", "value", "wide"]),
    }
)
Item = Mapping[str, object]


@dataclass(frozen=True)
class Written:
    """A file's bytes, and how many rows lie in it."""

    content: bytes
    rows: int


def jsonl(items: Sequence[Item], *, ends: str) -> Written:
    lines = []
    for item in items:
        values = {"item_id": item["id"], "domain": "page", **_values(item)}
        line = json.dumps(values, ensure_ascii=False)
        match item["broken"]:
            case "cut":
                line = line[: len(line) // 2]
            case "junk":
                line += ' {"item_id": "x"}'
            case "value":
                line = json.dumps({**values, "price": "many"})
            case "wide":
                line = json.dumps([values])
        lines.append(line)
    # Blank lines are no rows, and the last line may have no end.
    return Written(f"{ends}{ends.join(lines)}".encode(), len(lines))


def csv_table(items: Sequence[Item], *, ends: str) -> Written:
    written = io.StringIO(newline="")
    writer = csv.writer(written, lineterminator=ends)
    writer.writerow(["item_id", "domain", *_VALUES])
    for item in items:
        row = [item["id"], "page", *_values(item).values()]
        match item["broken"]:
            case "cut":
                row = row[:2]
            case "value":
                row[-1] = "many"
            case "wide" | "junk":
                row += ["one", "more"]
        writer.writerow(row)
    return Written(written.getvalue().encode(), len(items))


def parquet(items: Sequence[Item], *, ends: str) -> Written:
    rows = [
        {"item_id": item["id"], "domain": "song" if item["broken"] else "page", **_values(item)}
        for item in items
    ]
    schema = pa.schema(
        [(n, pa.string()) for n in ("item_id", "domain", "title", "text", "brand")]
        + [("price", pa.float64())]
    )
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), sink)
    return Written(sink.getvalue(), len(rows))


_VALUES = ("title", "text", "brand", "price")


def _values(item: Item) -> dict[str, object]:
    return {name: item[name] for name in _VALUES}


WRITERS: dict[str, Callable[..., Written]] = {"jsonl": jsonl, "csv": csv_table, "parquet": parquet}
COMPRESSED: dict[str, Callable[[bytes], bytes]] = {
    "": lambda content: content,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
}

_FEED = st.fixed_dictionaries(
    {
        "format": st.sampled_from(sorted(WRITERS)),
        "ends": st.sampled_from(["\n", "\r\n"]),
        "suffix": st.sampled_from(sorted(COMPRESSED)),
        "items": st.lists(_ITEM, min_size=1, max_size=8),
    }
)


@settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(_FEED, min_size=6, max_size=6))
def test_rows_in_the_files_are_rows_out_plus_rows_quarantined(
    open_shop: Callable[[], object], feeds: Sequence[Mapping[str, object]]
) -> None:
    shop = open_shop()
    sources, lying = [], {}
    for n, feed in enumerate(feeds):
        # A whole row, so that the file as a whole is readable.
        whole = {"title": "A", "text": None, "brand": None, "price": 1.0, "broken": None}
        items = [{**item, "id": f"m{n}-{i}."} for i, item in enumerate([whole, *feed["items"]])]
        written = WRITERS[feed["format"]](items, ends=feed["ends"])
        suffix = "" if feed["format"] == "parquet" else feed["suffix"]
        path = Path(shop.folder, f"feed{n}.{feed['format']}{suffix}")
        path.write_bytes(COMPRESSED[suffix](written.content))
        settings_ = {"name": f"feed{n}", "kind": "items", "format": feed["format"]}
        sources.append(Source(**settings_, path=str(path)))
        lying[f"feed{n}"] = (written.rows, [item["id"] for item in items])

    steps = shop.run(*sources)

    staged = Counter(row["item_id"] for row in shop.staged())
    refused = [
        row.record_key + row.payload
        for row in shop.tables.read(QUARANTINE).collect()
        if row.scope == "row"
    ]
    for name, (rows, ids) in lying.items():
        step = steps[name]
        assert step.rows_in == rows == step.rows_out + step.rows_quarantined
        found = {id_: staged[id_] + sum(id_ in text for text in refused) for id_ in ids}
        assert found == dict.fromkeys(ids, 1)
