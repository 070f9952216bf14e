"""Hashes of an item: of what COPE encodes, and of the whole row; computed with its pictures."""

import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256

import pyarrow as pa
from pyspark.sql import DataFrame

from spark_jobs.ingest.columns import FEED, FEED_COLUMNS, REASON
from spark_jobs.ingest.media.downloads import Downloads
from spark_jobs.ingest.media.folders import MediaFolders
from spark_jobs.ingest.media.item_media import MediaReader
from spark_jobs.ingest.media.pictures import RefusedPicture
from spark_jobs.ingest.reading.identifiers import IDENTIFIER_NAMES
from spark_jobs.ingest_config import IngestConfig

PICTURE_PROBLEMS = "_picture_problems"

# Rows of a worker whose pictures are fetched at the same time.
_FETCHED_AT_ONCE = 8
_ROW_COLUMNS = tuple(name for name in FEED_COLUMNS["items"] if name != "is_deleted")
_READ_BY_WORKER = (*_ROW_COLUMNS, "is_deleted", FEED, REASON)
_IMAGES_TYPE = pa.list_(pa.struct([("uri", pa.string()), ("sha256", pa.string())]))
_PROBLEMS_TYPE = pa.list_(
    pa.struct([("path", pa.string()), ("reason", pa.string()), ("detail", pa.string())])
)
_ADDED_DDL = (
    "images array<struct<uri: string, sha256: string>>, content_hash string, row_hash string, "
    f"{PICTURE_PROBLEMS} array<struct<path: string, reason: string, detail: string>>"
)


def standard_text(text: str | None) -> str:
    """Return text in Unicode's composed form, each run of white space as one blank."""
    return " ".join(unicodedata.normalize("NFC", text or "").split())


def content_hash(domain: str, title: str, text: str | None, image_hashes: Sequence[str]) -> str:
    """Return the SHA-256 of the canonical input of COPE.

    Case and punctuation count, since encoders may read them; white space and the form of composed
    characters do not.

    Args:
        image_hashes: SHA-256 of each picture's bytes, in order.
    """
    content = [domain, standard_text(title), standard_text(text), list(image_hashes)]
    return _sha256_of(content)


def row_hash(values: Mapping[str, object], image_hashes: Sequence[str]) -> str:
    """Return the SHA-256 of all values of a row, pictures' bytes included.

    Args:
        values: by column; the order of columns and of map entries does not matter. An identifier
            that is null is no part of the hash, which rows had before there were identifiers.
    """
    filled = {n: v for n, v in values.items() if v is not None or n not in IDENTIFIER_NAMES}
    return _sha256_of([sorted(filled.items()), list(image_hashes)])


def with_content(
    rows: DataFrame, media: Mapping[str, MediaFolders], limits: IngestConfig, *, store: str
) -> DataFrame:
    """Read the pictures of accepted rows on the workers, and hash these rows.

    Args:
        media: by feed.
        store: folder of fetched pictures.

    Returns:
        the columns of ``rows``; images become {uri, sha256} of those that can be used;
        content_hash, row_hash, _picture_problems. Null for refused rows and removals.
    """
    kept = [field for field in rows.schema if field.name != "images"]
    schema = ", ".join(f"{field.name} {field.dataType.simpleString()}" for field in kept)
    read = partial(_read_batches, media=media, limits=limits, store=store)
    return rows.mapInArrow(read, f"{schema}, {_ADDED_DDL}")


def _read_batches(
    batches: Iterable[pa.RecordBatch],
    media: Mapping[str, MediaFolders],
    limits: IngestConfig,
    *,
    store: str,
) -> Iterator[pa.RecordBatch]:
    reader = MediaReader(limits, Downloads(store, limits) if limits.fetch_pictures else None)
    for batch in batches:
        rows = batch.select(list(_READ_BY_WORKER)).to_pylist()
        contents = _contents(rows, media, reader)
        names = [name for name in batch.schema.names if name != "images"]
        columns = [batch.column(name) for name in names]
        columns += [
            pa.array([content[0] for content in contents], _IMAGES_TYPE),
            pa.array([content[1] for content in contents], pa.string()),
            pa.array([content[2] for content in contents], pa.string()),
            pa.array([content[3] for content in contents], _PROBLEMS_TYPE),
        ]
        added = ["images", "content_hash", "row_hash", PICTURE_PROBLEMS]
        yield pa.RecordBatch.from_arrays(columns, names=[*names, *added])


def _contents(
    rows: Sequence[Mapping[str, object]], media: Mapping[str, MediaFolders], reader: MediaReader
) -> list["_Content"]:
    content = partial(_content, media=media, reader=reader)
    if reader.downloads is None:
        return list(map(content, rows))
    # Servers are waited for.
    with ThreadPoolExecutor(_FETCHED_AT_ONCE) as pool:
        return list(pool.map(content, rows))


_Content = tuple[list[dict[str, str]] | None, str | None, str | None, list[dict[str, str]] | None]


def _content(
    row: Mapping[str, object], media: Mapping[str, MediaFolders], reader: MediaReader
) -> _Content:
    if row[REASON] is not None or row["is_deleted"]:
        return None, None, None, None
    paths = row["images"]
    folders = media[str(row[FEED])]
    taken, refused = reader.read(folders, paths if isinstance(paths, list) else [])
    hashes = [picture.sha256 for picture in taken]
    text = None if row["text"] is None else str(row["text"])
    return (
        [{"uri": picture.uri, "sha256": picture.sha256} for picture in taken],
        content_hash(str(row["domain"]), str(row["title"]), text, hashes),
        row_hash({name: _canonical(row[name]) for name in _ROW_COLUMNS}, hashes),
        [_problem(picture) for picture in refused],
    )


def _canonical(value: object) -> object:
    # Arrow returns a map as a list of pairs.
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        return sorted(value)
    return value


def _problem(refused: RefusedPicture) -> dict[str, str]:
    return {"path": refused.path, "reason": refused.reason, "detail": refused.detail}


def _sha256_of(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
