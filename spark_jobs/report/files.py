"""Files: where do the pages lie, and how does a reader never see half of one?"""

import fsspec

from spark_jobs.nights import Night
from spark_jobs.tables import Tables

INDEX = "index.html"


def report_path(tables: Tables, night: Night) -> str:
    """Return where the report of a night lies, written or not."""
    return f"{tables.warehouse}/reports/{night}.html"


def index_path(tables: Tables) -> str:
    """Return where the index of nights lies."""
    return f"{tables.warehouse}/reports/{INDEX}"


def write_page(path: str, page: str) -> None:
    """Write a page beside its place and move it over: a reader sees the old one or the new one."""
    filesystem, root = fsspec.url_to_fs(path)
    filesystem.makedirs(root.rpartition("/")[0], exist_ok=True)
    filesystem.pipe_file(f"{root}.new", page.encode())
    filesystem.mv(f"{root}.new", root)


def written_nights(tables: Tables) -> set[str]:
    """Return the nights that have a report, as text."""
    filesystem, root = fsspec.url_to_fs(f"{tables.warehouse}/reports")
    if not filesystem.exists(root):
        return set()
    names = [path.rpartition("/")[2] for path in filesystem.ls(root, detail=False)]
    return {name.removesuffix(".html") for name in names if name.endswith(".html")} - {"index"}
