"""Files of the report: pages written so that a reader never sees half of one."""

import fsspec

from spark_jobs.warehouse.tables import Tables


def write_page(path: str, page: str) -> None:
    """Write a page beside its place and move it over: a reader sees the old one or the new one."""
    filesystem, root = fsspec.url_to_fs(path)
    filesystem.makedirs(root.rpartition("/")[0], exist_ok=True)
    filesystem.pipe_file(f"{root}.new", page.encode())
    filesystem.mv(f"{root}.new", root)


def written_nights(tables: Tables) -> set[str]:
    """Return the nights that have a report, as text."""
    filesystem, root = fsspec.url_to_fs(tables.layout.reports)
    if not filesystem.exists(root):
        return set()
    names = [path.rpartition("/")[2] for path in filesystem.ls(root, detail=False)]
    return {name.removesuffix(".html") for name in names if name.endswith(".html")} - {"index"}
