"""Pictures: which JPEG files does each item of the shop have?"""

import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from spark_jobs.demo.shop.catalogue import Item, Key
from spark_jobs.demo.shop.chance import stream
from spark_jobs.demo.shop.drawings import drawn_product
from spark_jobs.demo.shop.pictures import grey_picture, live_frames, page_picture, video_frames
from spark_jobs.demo.shop.products import Product

QUALITY = 82
_WORKERS = 4  # threads: PIL works outside the interpreter's lock


class Studio:
    """Takes the pictures of a shop; each product is drawn once."""

    def __init__(self, products: Sequence[Product], seed: int) -> None:
        self._seed = seed
        with ThreadPoolExecutor(_WORKERS) as pool:
            drawings = pool.map(lambda product: drawn_product(product, seed), products)
            self._drawings: Mapping[str, Image.Image] = {
                product.product_id: drawing
                for product, drawing in zip(products, drawings, strict=True)
            }

    def pictures(self, item: Item) -> list[bytes]:
        """Return the JPEG files of an item, one for each of its ``pictures``."""
        rng = stream(self._seed, "shot", item.shot)
        drawings = [self._drawings[product_id] for product_id in item.product_ids]
        if item.domain == "page":
            taken = [page_picture(drawings[0], rng)]
        elif item.domain == "video":
            taken = video_frames(drawings[0], len(item.pictures), rng)
        else:
            taken = live_frames(drawings, len(item.pictures), rng)
        return [jpeg(picture) for picture in taken]

    def write(self, items: Sequence[Item], feed: Path) -> None:
        """Write the pictures of items below the folder of a feed."""
        (feed / "images").mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(_WORKERS) as pool:
            for item, files in zip(items, pool.map(self.pictures, items), strict=True):
                for path, content in zip(item.pictures, files, strict=True):
                    (feed / path).write_bytes(content)


def resend(
    items: Sequence[Item],
    feed: Path,
    *,
    earlier: Sequence[Path],
    grey: Collection[Key] = (),
) -> None:
    """Copy pictures from the newest earlier feed that has them; those of ``grey`` items turn grey.

    What is missing or corrupt in the earlier feed stays so.
    """
    (feed / "images").mkdir(parents=True, exist_ok=True)
    nothing = jpeg(grey_picture())
    for item, path in _named(items):
        found = next((old / path for old in reversed(earlier) if (old / path).exists()), None)
        if item.key in grey:
            (feed / path).write_bytes(nothing)
        elif found is not None:
            (feed / path).write_bytes(found.read_bytes())


def jpeg(picture: Image.Image) -> bytes:
    """Return a picture as the bytes of a JPEG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def _named(items: Sequence[Item]) -> Iterator[tuple[Item, str]]:
    return ((item, path) for item in items for path in item.pictures)
