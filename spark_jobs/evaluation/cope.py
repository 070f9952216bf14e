"""COPE: is an item's product found in another domain, among products that no encoder has seen?"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from encoders.cope.evaluation import Retrieved, directions, mean_of, raw_vectors, scores_by_spu
from encoders.cope.model import artifact_heads
from encoders.cope.sampling import CopeData, split_of
from encoders.resampling import difference
from spark_jobs.config import Config
from spark_jobs.contracts import DOMAINS, ITEM_FEATURES, ITEMS, SPU_EVENTS, SPU_MEMBERS
from spark_jobs.embeddings.model_cache import ensure_item_features
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.evaluation.outcome import Evaluation, Unevaluable
from spark_jobs.night import Night
from spark_jobs.training.cope_data import cope_data, training_rows
from spark_jobs.warehouse.encoder_store import encoder_info
from spark_jobs.warehouse.tables import Tables

if TYPE_CHECKING:
    from encoders.artifacts import Artifact

# As many as training tests on, where it reads as many as it may.
_MAX_ITEMS = 25_000
_HEADLINE = "R@1"
_ITEM = ["domain", "item_id"]


def evaluate_cope(
    tables: Tables, config: Config, night: Night, encoders: Mapping[str, "Artifact"]
) -> Evaluation:
    """Search each domain with items of the others, by every encoder and by backbones alone.

    The products are those whose SPUs every encoder kept for its test, old ones and new ones; not
    those that items came to, by merges and splits, from an SPU that one of them was trained on.

    Args:
        encoders: of kind ``cope``, by the name to show.

    Raises:
        Unevaluable: they kept no product in common, or none that has two items.
    """
    splits = [_split(name, artifact) for name, artifact in encoders.items()]
    features = {str(artifact.config["features"]) for artifact in encoders.values()}
    for version in sorted(features):
        ensure_item_features(tables, config, night, version)
    members = tables.as_of(SPU_MEMBERS, night, [*_ITEM, "spu_id"])
    held_out = _held_out(members, tables.log(SPU_EVENTS, night), splits)
    data = _read(tables, night, members.join(held_out, on="spu_id", how="left_semi"), features)
    retrieved = _retrieved(encoders, data)
    first = next(iter(retrieved))
    if not retrieved[first]:
        raise Unevaluable(
            f"COPE: as of night {night}, {held_out.count()} products were held out from all of "
            f"{', '.join(encoders)}, and none has two items to find one by the other. Evaluate on "
            "a later night (--ds), or fewer encoders."
        )
    scores = {name: scores_by_spu(its, _HEADLINE) for name, its in retrieved.items()}
    its_items = next(iter(data.values()))
    return Evaluation(
        title="COPE",
        held_out="products whose SPUs were not trained on: is one's item found in another domain?",
        counts={"products": scores[first].cases_KG.shape[1], "items": len(its_items.items)},
        figures={name: _figures(its) for name, its in retrieved.items()},
        encoders={name: artifact.version for name, artifact in encoders.items()},
        headline=f"mean {_HEADLINE}",
        differences={
            name: difference(its, scores[first]) for name, its in scores.items() if name != first
        },
    )


def _held_out(
    members: DataFrame, events: DataFrame, splits: Sequence[tuple[float, int]]
) -> DataFrame:
    """Return the SPUs none of whose items can have been trained on: spu_id.

    Args:
        splits: held_out and seed of every encoder.
    """

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
    said = artifact.metrics.get("config")
    if not isinstance(said, Mapping) or not {"held_out", "seed"} <= said.keys():
        raise Unevaluable(
            f"COPE: metrics.json of {name} ({artifact.version}) should say in config what was held "
            f"out (held_out, seed), but says {said!r}. Train it again. Nothing was changed."
        )
    # Before there was a split_seed, the seed of the training chose what was held out.
    return float(said["held_out"]), int(said.get("split_seed", said["seed"]))


def _read(
    tables: Tables, night: Night, members: DataFrame, versions: Iterable[str]
) -> dict[str, CopeData]:
    """Return the same items with the features of each version of the backbones."""
    items = tables.as_of(ITEMS, night, [*_ITEM, "content_hash"])
    features = {version: _features(tables, version) for version in versions}
    for its in features.values():  # an item that one of them could not read counts for none
        items = items.join(its.select("content_hash"), on="content_hash", how="left_semi")
    return {
        version: cope_data(
            training_rows(items, members, its, _MAX_ITEMS).toArrow(),
            encoder_info(tables, version).outputs,
        )
        for version, its in features.items()
    }


def _features(tables: Tables, version: str) -> DataFrame:
    rows = tables.read(ITEM_FEATURES).filter(F.col("encoder_version") == version)
    return rows.select("content_hash", "image_features", "text_features")


def _retrieved(
    encoders: Mapping[str, "Artifact"], data: Mapping[str, CopeData]
) -> dict[str, dict[str, Retrieved]]:
    """Search by every encoder, then by the backbones that they read."""
    learned, raw = {}, {}
    for name, artifact in encoders.items():
        features = str(artifact.config["features"])
        heads, its = artifact_heads(artifact), data[features]
        with torch.inference_mode():
            learned[name] = directions(heads(its.items), its, DOMAINS)
        label = "backbones alone" if len(data) == 1 else f"backbones of {name} alone"
        if features not in raw:
            raw[features] = label, directions(raw_vectors(heads, its.items), its, DOMAINS)
    return learned | dict(raw.values())


def _figures(retrieved: Mapping[str, Retrieved]) -> dict[str, float]:
    names = next(iter(retrieved.values())).scores if retrieved else ()
    by_direction = {
        f"{direction} {name}": value
        for direction, said in retrieved.items()
        for name, value in said.means.items()
    }
    return {f"mean {name}": mean_of(retrieved, name) for name in names} | by_direction
