"""Layout of a warehouse: the path of each table, folder and file below its root.

::

    <warehouse>/
      <table>/                     served tables, and caches and ledgers
      staged/<table>/              rows of nights that the audit has not passed yet
      backfill/<release>/<table>/  the same of a release that is being backfilled
      encoders/<version>/          encoder versions
      media/                       fetched pictures, by hash; see ingest/media/downloads.py
      releases.json                the served releases, for readers without Spark
      feature_store/               Feast's settings, registry and local online store
      data_docs/<night>/           the page of the night's audit
      reports/<night>.html         the nightly report
      erasures/                    receipts of forgotten users
      logs/                        logs of commands, and of Spark's Java side
      tmp/                         scratch
"""

from dataclasses import dataclass
from pathlib import Path

from spark_jobs.night import Night


@dataclass(frozen=True)
class Layout:
    """Paths below the root of a warehouse, which is a folder or a URI."""

    root: str

    @classmethod
    def of(cls, warehouse: str) -> "Layout":
        """Return the layout of a configured warehouse, its path absolute: Delta needs that."""
        is_uri = "://" in warehouse
        return cls(warehouse.rstrip("/") if is_uri else str(Path(warehouse).resolve()))

    @property
    def is_local(self) -> bool:
        return "://" not in self.root

    def table(self, name: str) -> str:
        return f"{self.root}/{name}"

    @property
    def staged(self) -> str:
        return f"{self.root}/staged"

    def staged_table(self, name: str) -> str:
        return f"{self.staged}/{name}"

    @property
    def backfills(self) -> str:
        return f"{self.root}/backfill"

    def backfill(self, release: str) -> str:
        return f"{self.backfills}/{release}"

    @property
    def encoders(self) -> str:
        return f"{self.root}/encoders"

    def encoder(self, version: str) -> str:
        return f"{self.encoders}/{version}"

    @property
    def media(self) -> str:
        return f"{self.root}/media"

    @property
    def releases(self) -> str:
        return f"{self.root}/releases.json"

    @property
    def feature_store(self) -> str:
        return f"{self.root}/feature_store"

    @property
    def data_docs(self) -> str:
        return f"{self.root}/data_docs"

    def night_data_docs(self, night: Night, release: str | None = None) -> str:
        """Return the folder of a night's Data Docs, or of the night in a release's backfill."""
        folder = f"backfill_{release}/" if release else ""
        return f"{self.data_docs}/{folder}{night}"

    @property
    def reports(self) -> str:
        return f"{self.root}/reports"

    def report(self, night: Night) -> str:
        return f"{self.reports}/{night}.html"

    @property
    def report_index(self) -> str:
        return f"{self.reports}/index.html"

    def erasure(self, user_hash: str) -> str:
        """Return the path of an erased user's receipt."""
        return f"{self.root}/erasures/{user_hash[:16]}.json"

    @property
    def logs(self) -> str:
        """Folder of logs: below the working directory for an object store, which has no files."""
        return f"{self.root}/logs" if self.is_local else "logs"

    @property
    def tmp(self) -> str:
        return f"{self.root}/tmp"  # noqa: S108 - not the machine's

    def staged_bytes(self, night: Night) -> int:
        """Return the size of a night's staged files; 0 for an object store, which has no limit."""
        if not self.is_local:
            return 0
        files = Path(self.staged).glob(f"*/ds={night}/*.parquet")
        return sum(file.stat().st_size for file in files)
