"""Pictures of items: products on pages, in short videos and on live stages, as JPEG files."""

import io
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from spark_jobs.demo.shop.catalogue import Item, Key
from spark_jobs.demo.shop.drawings import drawn_product
from spark_jobs.demo.shop.products import COLOURS, RGB, Product, happens, pick, stream
from spark_jobs.demo.shop.sketch import darker, lighter, mixed

# Sides in pixels.
PAGE_SIZE = 192
CLIP_SIZE = 128
LIVE_SIZE = 160
QUALITY = 82  # of JPEG files
_WORKERS = 4  # threads: PIL works outside the interpreter's lock

_STUDIOS: Sequence[RGB] = (
    (255, 255, 255), (244, 244, 246), (232, 236, 240), (250, 244, 232), (226, 232, 222),
    (238, 226, 226),
)  # fmt: skip
_WALLS: Sequence[RGB] = (
    (206, 190, 170), (160, 182, 196), (188, 204, 176), (212, 178, 170), (120, 128, 150),
    (226, 214, 190),
    (96, 110, 108), (178, 160, 196),
)  # fmt: skip
_TABLES: Sequence[RGB] = (
    (150, 102, 62),
    (98, 66, 44),
    (206, 178, 140),
    (70, 74, 82),
    (224, 222, 218),
)


class Studio:
    """Makes the pictures of a shop's items; each product is drawn once."""

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
            scenes = [page_picture(drawings[0], rng)]
        elif item.domain == "video":
            scenes = video_frames(drawings[0], len(item.pictures), rng)
        else:
            scenes = live_frames(drawings, len(item.pictures), rng)
        return [jpeg(scene) for scene in scenes]

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
    """Copy pictures from the newest earlier feed that has them; those of ``grey`` items are grey.

    Pictures that are missing or corrupt in the earlier feed stay so.
    """
    (feed / "images").mkdir(parents=True, exist_ok=True)
    grey_file = jpeg(grey_picture())
    for key, path in [(item.key, path) for item in items for path in item.pictures]:
        files = [old / path for old in reversed(earlier) if (old / path).exists()]
        if key in grey:
            (feed / path).write_bytes(grey_file)
        elif files:
            (feed / path).write_bytes(files[0].read_bytes())


def jpeg(picture: Image.Image) -> bytes:
    """Return a picture as the bytes of a JPEG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def page_picture(drawing: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return a page's picture: the product, large, before a plain ground; crop and light vary."""
    ground = pick(rng, _STUDIOS)
    shade = darker(ground, float(rng.uniform(0, 0.16)))
    picture = _gradient(PAGE_SIZE, lighter(ground, 0.5), shade)
    _put(
        picture,
        ImageOps.mirror(drawing) if happens(rng, 0.3) else drawing,
        middle=_spot(0.5 + rng.uniform(-0.07, 0.07, 2), PAGE_SIZE),
        size=int(PAGE_SIZE * rng.uniform(0.74, 1.02)),
        angle=float(rng.uniform(-8, 8)),
    )
    return ImageEnhance.Brightness(picture).enhance(float(rng.uniform(0.85, 1.12)))


def video_frames(drawing: Image.Image, count: int, rng: np.random.Generator) -> list[Image.Image]:
    """Return frames of a clip: the product moves, grows and turns in a furnished room."""
    room = _room(CLIP_SIZE, rng)
    starts, ends = rng.uniform(0.36, 0.64, 2), rng.uniform(0.4, 0.6, 2)
    sizes, angles = rng.uniform(0.38, 0.8, 2), rng.uniform(-35, 35, 2)
    light = _light(rng)
    shown = ImageOps.mirror(drawing) if happens(rng, 0.5) else drawing
    frames = []
    for step in np.linspace(0, 1, count):
        frame = room.copy()
        _put(
            frame,
            shown,
            middle=_spot(starts + (ends - starts) * step, CLIP_SIZE),
            size=int((sizes[0] + (sizes[1] - sizes[0]) * step) * CLIP_SIZE),
            angle=float(angles[0] + (angles[1] - angles[0]) * step),
        )
        frames.append(_filmed(frame, light=light, blur=float(rng.uniform(0, 1.6))))
    return frames


def live_frames(
    drawings: Sequence[Image.Image], count: int, rng: np.random.Generator
) -> list[Image.Image]:
    """Return frames of a live slice: a host, a full table, and the first product held up."""
    stage = _room(LIVE_SIZE, rng)
    _host(stage, float(rng.choice([0.2, 0.8])), rng)
    places = rng.permutation(np.array([0.14, 0.38, 0.62, 0.86]))
    for drawing, place in zip(drawings[1:], places, strict=False):
        _put(
            stage,
            drawing,
            middle=_spot(np.array([place, 0.86]), LIVE_SIZE),
            size=int(LIVE_SIZE * rng.uniform(0.3, 0.4)),
            angle=float(rng.uniform(-6, 6)),
        )
    size, middle = int(LIVE_SIZE * rng.uniform(0.42, 0.56)), rng.uniform(0.38, 0.58, 2)
    light = _light(rng)
    frames = []
    for _ in range(count):
        frame = stage.copy()
        spot = _spot(middle + rng.uniform(-0.06, 0.06, 2), LIVE_SIZE)
        _put(frame, drawings[0], middle=spot, size=size, angle=float(rng.uniform(-25, 25)))
        shown = _filmed(frame, light=light, blur=float(rng.uniform(0, 1.4)))
        _banner(shown, rng)
        frames.append(shown)
    return frames


def grey_picture() -> Image.Image:
    """Return the picture that a broken image service sends in place of every picture."""
    return Image.new("RGB", (PAGE_SIZE, PAGE_SIZE), (128, 128, 128))


def _put(
    scene: Image.Image,
    drawing: Image.Image,
    *,
    middle: tuple[float, float],
    size: int,
    angle: float,
) -> None:
    """Put a drawing and its shadow on a scene."""
    small = drawing.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=2.0)
    turned = small.rotate(angle, Image.Resampling.BILINEAR, expand=True)
    left, top = (round(part - turned.width / 2) for part in middle)
    shadow = turned.getchannel("A").point([value // 4 for value in range(256)])
    scene.paste((20, 20, 24), (left + size // 24, top + size // 18), shadow)
    scene.paste(turned, (left, top), turned)


def _light(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the light of a room: factors of red, green and blue."""
    return rng.uniform(0.68, 1.1, 3) * rng.uniform(0.8, 1.1)


def _filmed(frame: Image.Image, *, light: NDArray[np.float64], blur: float) -> Image.Image:
    """Return a frame in the room's light, blurred as by a telephone's camera."""
    lit = np.clip(np.asarray(frame, dtype=np.float64) * light, 0, 255).astype(np.uint8)
    return Image.fromarray(lit).filter(ImageFilter.GaussianBlur(blur))


def _spot(shares: NDArray[np.float64], size: int) -> tuple[float, float]:
    """Return a point in pixels, from shares of the width and the height."""
    return float(shares[0]) * size, float(shares[1]) * size


def _gradient(size: int, top: RGB, bottom: RGB) -> Image.Image:
    share = np.linspace(0, 1, size)[:, None, None]
    column = np.array(top) * (1 - share) + np.array(bottom) * share
    return Image.fromarray(np.broadcast_to(column, (size, size, 3)).astype(np.uint8))


def _room(size: int, rng: np.random.Generator) -> Image.Image:
    """Return a wall with objects on it, and a table; out of focus."""
    wall, table = pick(rng, _WALLS), pick(rng, _TABLES)
    room = _gradient(size, lighter(wall, 0.2), darker(wall, 0.2))
    draw = ImageDraw.Draw(room)
    colours = [colour for colour, _ in COLOURS.values()]
    for _ in range(int(rng.integers(3, 8))):
        left, top = (float(part) for part in rng.uniform(-0.1, 0.9, 2) * size)
        wide, high = (float(part) for part in rng.uniform(0.08, 0.34, 2) * size)
        tint = mixed(pick(rng, colours), wall, 0.55)
        shape = draw.ellipse if happens(rng, 0.35) else draw.rectangle
        shape((left, top, left + wide, top + high), fill=tint)
    edge = float(rng.uniform(0.66, 0.8)) * size
    draw.rectangle((0, edge, size, size), fill=table)
    draw.line((0, edge, size, edge), fill=darker(table), width=2)
    soft = room.filter(ImageFilter.GaussianBlur(size / 90))
    noise = rng.normal(0, 5, (size, size, 1))
    return Image.fromarray(np.clip(np.asarray(soft) + noise, 0, 255).astype(np.uint8))


def _host(stage: Image.Image, place: float, rng: np.random.Generator) -> None:
    """Draw a host behind the table."""
    size, draw = stage.width, ImageDraw.Draw(stage)
    skin = pick(rng, ((232, 190, 160), (196, 148, 112), (134, 92, 66), (242, 208, 184)))
    hair = pick(rng, ((40, 30, 26), (96, 62, 36), (190, 150, 90), (60, 60, 66)))
    x = place * size
    draw.rounded_rectangle(
        (x - 0.19 * size, 0.4 * size, x + 0.19 * size, size),
        radius=0.1 * size,
        fill=mixed(pick(rng, [colour for colour, _ in COLOURS.values()]), (128, 128, 128), 0.3),
    )
    draw.ellipse((x - 0.12 * size, 0.08 * size, x + 0.12 * size, 0.38 * size), fill=hair)
    draw.ellipse((x - 0.09 * size, 0.13 * size, x + 0.09 * size, 0.4 * size), fill=skin)


def _banner(frame: Image.Image, rng: np.random.Generator) -> None:
    """Draw the overlay of a live app: a red sign in a corner, and hearts."""
    draw, size = ImageDraw.Draw(frame), frame.width
    draw.rounded_rectangle((5, 5, 30, 15), radius=3, fill=(222, 32, 56))
    draw.rectangle((9, 9, 26, 11), fill=(255, 255, 255))
    for _ in range(3):
        x, y = float(rng.uniform(0.88, 0.97)) * size, float(rng.uniform(0.3, 0.95)) * size
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=(255, 92, 128))
