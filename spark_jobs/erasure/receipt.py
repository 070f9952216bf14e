"""The receipt of an erasure: what was removed, where it was looked for, and what it cannot reach.

It names the user by the salted hash of the ledger ``forgotten``, never by the id.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal

import fsspec

NOT_REACHED = (
    "Encoders were trained on the behaviour of all users, this one among them. Their weights hold "
    "no row and no id; train again (embedmill train learn) where policy asks for it.",
    "Feeds are your own files: remove the user there. Until then, ingest leaves their rows out; a "
    "line that is no readable row at all goes to quarantine as it is.",
    "Copies that were made elsewhere, such as backups and training sets, are not known here; nor "
    "are logs and alerts outside the warehouse, such as Airflow's.",
)


@dataclass(frozen=True)
class Removed:
    """What was removed from one place.

    Attributes:
        where: path below the warehouse.
        version: the table's Delta version from then on; None where it is no table.
    """

    where: str
    what: Literal["rows", "texts", "mentions"]
    count: int
    version: int | None


@dataclass(frozen=True)
class Receipt:
    """What an erasure did.

    Attributes:
        user_hash: stands for the user, see ``spark_jobs/forgotten.py``.
        removed: empty where an earlier run had removed all.
        files_searched: how many files were read afterwards, in which nothing was found.
        online: what deleting from the online store means.
    """

    user_hash: str
    removed: Sequence[Removed]
    files_searched: int
    online: str


def receipt_path(warehouse: str, receipt: Receipt) -> str:
    """Return where the receipt of a user lies."""
    return f"{warehouse}/erasures/{receipt.user_hash[:16]}.json"


def write_receipt(warehouse: str, receipt: Receipt) -> str:
    """Add a run to the user's receipt and return its path."""
    path = receipt_path(warehouse, receipt)
    filesystem, root = fsspec.url_to_fs(path)
    earlier = json.loads(filesystem.cat_file(root))["runs"] if filesystem.exists(root) else []
    run = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "removed": [asdict(each) for each in receipt.removed],
        "files_searched_afterwards": receipt.files_searched,
        "found_afterwards": 0,
        "online_store": receipt.online,
    }
    content = {
        "user_hash": receipt.user_hash,
        "runs": [*earlier, run],
        "not_reached": list(NOT_REACHED),
    }
    filesystem.makedirs(root.rsplit("/", 1)[0], exist_ok=True)
    filesystem.pipe_file(root, (json.dumps(content, indent=2) + "\n").encode())
    return path
