"""Items that are asked about: a text and pictures from anywhere, encoded as a night encodes items.

Shapes: K items, of width D.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spark_jobs.config import Config
from spark_jobs.contracts import COPE_FEATURES
from spark_jobs.ingest.media.folders import MediaFolders
from spark_jobs.ingest.media.item_media import MediaReader
from spark_jobs.ingest.media.pictures import FORMATS, Picture
from spark_jobs.ingest.row_checks import CONTROL_IN_TEXT
from spark_jobs.ingest_config import IngestConfig
from spark_jobs.queries.views import Catalog
from spark_jobs.releases.release import Release
from spark_jobs.warehouse.encoder_store import encoder_info

Vectors = NDArray[np.float32]
# Title of an item, and its pictures: uri and sha256 of each.
Item = tuple[str | None, Sequence[dict[str, str]]]

# Scenes are decoded at this shorter side at least, where they have it: parts are half as large.
_SCENE_SIDE = 640


class UnusableQuery(ValueError):
    """A text or a picture that no vector can be made of."""


def items_of_scenes(pictures: Sequence[Picture], folder: Path, limits: IngestConfig) -> list[Item]:
    """Write the parts of pictures into a folder, each as the only picture of an item.

    Raises:
        UnusableQuery: a picture cannot be decoded.
    """
    from encoders.cope.preprocessing import BadPicture, Limits, read_picture, scene_parts

    items: list[Item] = []
    for picture in pictures:
        read = read_picture(
            picture.uri,
            picture.sha256,
            limits=Limits(max_pixels=limits.max_image_pixels),
            side=_SCENE_SIDE,
        )
        if isinstance(read, BadPicture):
            raise _unusable([f"{read.detail} ({read.reason})"])
        for part in scene_parts(read):
            file = folder / f"{len(items)}.png"
            part.save(file)
            sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
            items.append((None, [{"uri": str(file), "sha256": sha256}]))
    return items


def item_vectors(
    catalog: Catalog, live: Release, config: Config, items: Sequence[Item], *, domain: str
) -> Vectors:
    """Encode items by COPE, in this process, as a night encodes them [K, D].

    Raises:
        UnusableQuery: nothing of one, or not all of it, can be read.
    """
    from encoders.loading import load_encoder

    hardware = {"device": config.encoding.device, "precision": config.encoding.precision}
    version = live.encoders["cope"]
    backbones = encoder_info(catalog.tables, version).reads[COPE_FEATURES.name]
    domains = [domain] * len(items)
    features = load_encoder(catalog.tables.layout.encoder(backbones), **hardware).encode(
        {
            "domain": domains,
            "title": [title for title, _ in items],
            "text": [None] * len(items),
            "images": [images for _, images in items],
        }
    )
    if features.problems:
        raise _unusable([f"{found.detail} ({found.reason})" for found in features.problems])
    heads = load_encoder(catalog.tables.layout.encoder(version), **hardware)
    inputs = {name: list(vectors) for name, vectors in features.vectors.items()}
    vectors_KD: Vectors = heads.encode({"domain": domains, **inputs}).vectors["embedding"]
    return vectors_KD


def _unusable(problems: Sequence[str]) -> UnusableQuery:
    return UnusableQuery(f"a picture cannot be used: {'; '.join(problems)}. Give another file.")


def usable_pictures(files: Sequence[str], limits: IngestConfig) -> list[Picture]:
    """Read pictures within the limits that ingest has.

    Raises:
        UnusableQuery: naming every file that cannot be used, and why.
    """
    # A feed's pictures lie in its folder; these files may lie anywhere.
    places = [Path(file).resolve() for file in files]
    refused = []
    pictures: list[Picture] = []
    for file, place in zip(files, places, strict=True):
        media = MediaFolders(None, str(place.parent))
        read, problems = MediaReader(limits).read(media, [place.name])
        pictures += read
        refused += [f"{file!r}: {problem.detail} ({problem.reason})" for problem in problems]
    most = limits.max_images
    if len(files) > most:
        refused.append(f"{len(files)} files, but an item has at most {most} pictures")
    elif len(pictures) > most:
        refused.append(f"{len(pictures)} pictures and frames, but an item has at most {most}")
    if refused:
        raise UnusableQuery(
            f"--image cannot be used: {'; '.join(refused)}. Give {', '.join(FORMATS)} files of at "
            f"most {limits.max_image_bytes:,} bytes and {limits.max_image_pixels:,} pixels "
            "(ingest.max_image_bytes, ingest.max_image_pixels)."
        )
    return pictures


def usable_text(text: str) -> str:
    """Return a text that could be an item's title.

    Raises:
        UnusableQuery: it is blank, or has control characters.
    """
    if not text.strip():
        raise UnusableQuery("--text is empty. Give words, such as --text 'red running shoes'.")
    if re.search(CONTROL_IN_TEXT, text):
        raise UnusableQuery(f"--text has control characters: {text[:80]!r}. Leave them out.")
    return text
