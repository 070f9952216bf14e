"""Evaluation of COPE: retrieval across domains among SPUs that no encoder was trained on."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from encoders.cope.evaluation import (
    Retrieved,
    directions,
    item_vectors,
    mean_of,
    raw_vectors,
    scores_by_spu,
)
from encoders.cope.model import artifact_heads
from encoders.cope.sampling import CopeData, split_of
from spark_jobs.config import Config
from spark_jobs.contracts import DOMAINS, ITEM_FEATURES, ITEMS, SPU_EVENTS, SPU_MEMBERS
from spark_jobs.embeddings.model_cache import ensure_item_features
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.evaluation.outcome import Evaluation, Unevaluable, differences_from_first
from spark_jobs.training.cope_data import cope_data, training_rows
from spark_jobs.warehouse.encoder_store import encoder_info
from spark_jobs.warehouse.snapshot import Snapshot
from spark_jobs.warehouse.tables import Tables

if TYPE_CHECKING:
    from encoders.artifacts import Artifact

# As many as training tests on, where it reads as many as it may.
_MAX_ITEMS = 25_000
_HEADLINE = "R@1"
# Name of the baseline where all encoders read the same backbones.
BACKBONES = "backbones alone"
_ITEM = ["domain", "item_id"]


def evaluate_cope(
    snapshot: Snapshot, config: Config, encoders: Mapping[str, "Artifact"]
) -> Evaluation:
    """Search each domain with items of the others, by every encoder and by backbones alone.

    The products are those whose SPUs every encoder held out for its test, old ones and new ones;
    not those that items came to, by merges and splits, from an SPU that one was trained on.

    Args:
        encoders: of kind ``cope``, by the name to show.

    Raises:
        Unevaluable: they held out no product in common, or none that has two items.
    """
    for version in sorted({_features_version(artifact) for artifact in encoders.values()}):
        ensure_item_features(snapshot, config, version)
    members = snapshot.state(SPU_MEMBERS, [*_ITEM, "spu_id"])
    held_out = held_out_spus(members, snapshot.log(SPU_EVENTS), encoders)
    grouped = members.join(held_out, on="spu_id", how="left_semi")
    data = items_to_search(snapshot, grouped, encoders)
    retrieved = search(encoders, data)
    first = next(iter(retrieved))
    if not retrieved[first]:
        raise Unevaluable(
            f"COPE: as of night {snapshot.night}, {held_out.count()} products were held out from "
            f"all of {', '.join(encoders)}, and none has two items to find one by the other. "
            "Evaluate on a later night (--ds), or fewer encoders."
        )
    scores = {name: scores_by_spu(found, _HEADLINE) for name, found in retrieved.items()}
    of_first = next(iter(data.values()))
    return Evaluation(
        title="COPE",
        held_out="products whose SPUs were not trained on: is one's item found in another domain?",
        counts={"products": scores[first].cases_KG.shape[1], "items": len(of_first.items)},
        figures={name: _figures(found) for name, found in retrieved.items()},
        encoders={name: artifact.version for name, artifact in encoders.items()},
        headline=f"mean {_HEADLINE}",
        differences=differences_from_first(scores),
    )


def held_out_spus(
    members: DataFrame, events: DataFrame, encoders: Mapping[str, "Artifact"]
) -> DataFrame:
    """Return the SPUs none of whose items any of the encoders can have been trained on: spu_id.

    Args:
        members: domain, item_id, spu_id.
        events: of SPUs: merges and splits.

    Raises:
        Unevaluable: an encoder does not say what its training held out.
    """
    splits = [_split(name, artifact) for name, artifact in encoders.items()]

    def is_kept(spu_id: str) -> bool:
        return all(split_of(spu_id, held_out=share, seed=seed) == "test" for share, seed in splits)

    spu_ids = [row["spu_id"] for row in members.select("spu_id").distinct().toLocalIterator()]
    kept = {spu_id for spu_id in spu_ids if is_kept(spu_id)}
    kept -= reached_by(_flows(events), lambda spu_id: not is_kept(spu_id))
    return local_frame(members.sparkSession, [(spu,) for spu in sorted(kept)], "spu_id string")


def _flows(events: DataFrame) -> list[tuple[str, str]]:
    """Return from which SPU to which one items went when SPUs were merged or split."""
    rows = events.filter(F.col("event").isin("merged", "split")).collect()
    pairs = [(row["spu_id"], row["other_spu_id"], row["event"]) for row in rows]
    return [(spu, other) if event == "merged" else (other, spu) for spu, other, event in pairs]


def reached_by(flows: Sequence[tuple[str, str]], is_source: Callable[[str], bool]) -> set[str]:
    """Return the SPUs that items of a source came to, over any number of merges and splits."""
    reached = {source for source, _ in flows if is_source(source)}
    while more := {to for source, to in flows if source in reached} - reached:
        reached |= more
    return reached


def _split(name: str, artifact: "Artifact") -> tuple[float, int]:
    trained = artifact.metrics.get("config")
    if not isinstance(trained, Mapping) or not {"held_out", "seed"} <= trained.keys():
        raise Unevaluable(
            f"COPE: metrics.json of {name} ({artifact.version}) should give held_out and seed in "
            f"config, but gives {trained!r}. Train it again. Nothing was changed."
        )
    # Before there was a split_seed, the seed of the training chose what was held out.
    return float(trained["held_out"]), int(trained.get("split_seed", trained["seed"]))


def items_to_search(
    snapshot: Snapshot, groups: DataFrame, encoders: Mapping[str, "Artifact"]
) -> dict[str, CopeData]:
    """Return the same items with the features of each version of the backbones.

    Args:
        groups: domain, item_id, spu_id: items of one ``spu_id`` are to find each other.
    """
    tables = snapshot.tables
    items = snapshot.state(ITEMS, [*_ITEM, "content_hash"])
    versions = dict.fromkeys(_features_version(artifact) for artifact in encoders.values())
    widths = {version: encoder_info(tables, version).outputs for version in versions}
    features = {version: _features(tables, version, outputs) for version, outputs in widths.items()}
    for of_version in features.values():  # an item that one of them could not read is left out
        items = items.join(of_version.select("content_hash"), on="content_hash", how="left_semi")
    return {
        version: cope_data(
            training_rows(items, groups, of_version, _MAX_ITEMS).toArrow(), widths[version]
        )
        for version, of_version in features.items()
    }


def _features(tables: Tables, version: str, outputs: Iterable[str]) -> DataFrame:
    rows = tables.read(ITEM_FEATURES).filter(F.col("encoder_version") == version)
    return rows.select("content_hash", *outputs)


def search(
    encoders: Mapping[str, "Artifact"], data: Mapping[str, CopeData]
) -> dict[str, dict[str, Retrieved]]:
    """Search each domain with items of the others, by every encoder and then by its backbones.

    Args:
        data: ``items_to_search``.

    Returns:
        Encoder's name, or ``backbones alone`` -> direction -> what was found.
    """
    learned, raw = {}, {}
    for name, artifact in encoders.items():
        version = _features_version(artifact)
        heads, items = artifact_heads(artifact), data[version]
        with torch.inference_mode():
            learned[name] = directions(item_vectors(heads, items), items, DOMAINS)
        label = BACKBONES if len(data) == 1 else f"backbones of {name} alone"
        if version not in raw:
            emb_ND = item_vectors(partial(raw_vectors, heads), items)
            raw[version] = label, directions(emb_ND, items, DOMAINS)
    return learned | dict(raw.values())


def _features_version(artifact: "Artifact") -> str:
    """Return the version of the backbones whose features an encoder reads."""
    return str(artifact.config["features"])


def _figures(retrieved: Mapping[str, Retrieved]) -> dict[str, float]:
    names = next(iter(retrieved.values())).scores if retrieved else ()
    by_direction = {
        f"{direction} {name}": value
        for direction, found in retrieved.items()
        for name, value in found.means.items()
    }
    return {f"mean {name}": mean_of(retrieved, name) for name in names} | by_direction
