"""Grocery Store: 81 products with a catalogue picture, and 5,421 photos of them taken in shops.

Source: Klasson et al., WACV 2019 (MIT licence).

The 81 classes become pages. The photos become videos of one frame that link to their class's page,
as a shop's own link would. COPE sees only the picture of a photo: every photo has the same title,
because a class name would give the answer away, and so would a number, since the lists are sorted
by class. The class is in ``item_id`` and in the link, which no encoder reads.
"""

import csv
import re
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from spark_jobs.engine.local_frames import local_frame
from spark_jobs.ingest.columns import FEED_COLUMNS
from spark_jobs.ingest.datasets.adapter import Window

SPLITS = ("train", "val", "test")
PHOTO_TITLE = "photo taken in a shop"
_FIELDS = ("domain", "item_id", "source", "title", "text", "brand", "category", "attributes")
_LISTS = ("images", "linked_item_ids")


def items(spark: SparkSession, folder: str, window: Window) -> DataFrame:
    """Return 81 pages and 5,421 videos; an item_id is ``grocery:<class>`` or a photo's path."""
    columns = [*_FIELDS, *_LISTS]
    ddl = ", ".join(f"{name} {FEED_COLUMNS['items'][name]}" for name in columns)
    values = [[row.get(name) for name in columns] for row in item_rows(Path(folder))]
    return local_frame(spark, values, ddl)


def item_rows(folder: Path) -> list[dict[str, object]]:
    """Return the pages, then the photos in the order of the lists; each row is column -> value."""
    return [*_pages(folder), *_photos(folder)]


def _pages(folder: Path) -> list[dict[str, object]]:
    return [_page(folder, row) for row in _classes(folder)]


def _page(folder: Path, row: dict[str, str]) -> dict[str, object]:
    image = row["Iconic Image Path (str)"].lstrip("/")
    description = row["Product Description Path (str)"].lstrip("/")
    coarse = _spaced(row["Coarse Class Name (str)"])
    # iconic-images-and-descriptions/<group>/<coarse class>/...
    group = Path(image).parts[1]
    brand, size = _maker(folder / description.replace("_Description.txt", "_Information.txt"))
    attributes = {"type": coarse, "volume": size if group == "Packages" else None}
    return {
        "domain": "page",
        "item_id": _page_id(row["Class Name (str)"]),
        "source": "catalogue",
        "title": _spaced(row["Class Name (str)"]),
        "text": (folder / description).read_text(encoding="utf-8-sig").strip(),
        "brand": brand,
        "category": f"{group} > {coarse}",
        "attributes": {name: value for name, value in attributes.items() if value},
        "images": [image],
        "linked_item_ids": None,
    }


def _photos(folder: Path) -> list[dict[str, object]]:
    names = {row["Class ID (int)"]: row["Class Name (str)"] for row in _classes(folder)}
    photos: list[dict[str, object]] = []
    for split in SPLITS:
        for line in (folder / f"{split}.txt").read_text(encoding="utf-8").splitlines():
            path, fine, _ = line.split(", ")
            photos.append(
                {
                    "domain": "video",
                    "item_id": f"grocery:{split}/{Path(path).stem}",
                    "source": "shop photos",
                    "title": PHOTO_TITLE,
                    "images": [path],
                    "linked_item_ids": [_page_id(names[fine])],
                }
            )
    return photos


def _classes(folder: Path) -> list[dict[str, str]]:
    with (folder / "classes.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def _maker(information: Path) -> tuple[str | None, str | None]:
    """Return brand and volume of a package, from a line "Manufacturer and volume: ARLA , 1l"."""
    text = information.read_text(encoding="utf-8-sig") if information.is_file() else ""
    found = re.search(r"^Manufacturer and volume:\s*(.+?)\s*,\s*([^,]+?)\s*$", text, re.MULTILINE)
    return (found[1], found[2]) if found else (None, None)


def _page_id(class_name: str) -> str:
    return f"grocery:{class_name}"


def _spaced(name: str) -> str:
    return name.replace("-", " ")
