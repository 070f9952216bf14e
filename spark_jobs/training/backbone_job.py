"""Train an image backbone end to end on the pictures of the warehouse's own items and SPUs.

Reads ``items`` and ``spu_members`` as of a night; writes a folder that ``[cope] image_backbones``
names as ``tuned:<folder>``.

    embedmill train backbone --config my.toml --ds 2026-01-31 --output backbones/lite0
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, cast

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as F

from spark_jobs.config import Config
from spark_jobs.contracts import DOMAINS, ITEMS, SPU_MEMBERS
from spark_jobs.night import Night
from spark_jobs.warehouse.retention import snapshot_of_night
from spark_jobs.warehouse.snapshot import Snapshot
from spark_jobs.warehouse.tables import Tables

if TYPE_CHECKING:
    import torch

    from encoders.backbones.image import ImageBackbone
    from encoders.cope.tuning import PicturedItems

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
# Items that the backbone is judged by, of whole SPUs.
_MOST_JUDGED = 4_000


class NotBetter(ValueError):
    """The tuned backbone finds held-out products no better than the one it started from."""


@dataclass(frozen=True)
class TunedBackbone:
    """A backbone that was tuned and saved.

    Attributes:
        name: for ``[cope] image_backbones``.
        before, after: figures of the products that were held out, by the base and by it.
    """

    name: str
    before: Mapping[str, float]
    after: Mapping[str, float]


def tune_backbone(
    tables: Tables,
    config: Config,
    night: Night,
    output: Path,
    *,
    even_if_worse: bool = False,
    progress: Progress | None = None,
) -> TunedBackbone:
    """Tune ``[tuning] base``, hold it against the base on held-out SPUs, and save it.

    The SPUs held out are those of COPE's own test (``[cope] held_out``, ``split_seed``).

    Args:
        output: folder to be made.

    Raises:
        FileExistsError: it is there.
        InvalidBackbone: the base is unknown, or is tuned already.
        NoPairs: there is nothing to learn from.
        NotBetter: it does not rank held-out products better, unless ``even_if_worse``.
    """
    from encoders.backbones.image import image_weights_sha256
    from encoders.backbones.tuned import save_tuned
    from encoders.checkpoint import remove_checkpoint
    from encoders.cope.tuning_judgement import MEAN, ranking

    if output.exists():
        raise FileExistsError(f"--output {str(output)!r} is there. Name a folder to be made.")
    learned, judged = _pictured_items(snapshot_of_night(tables, night), config)
    checkpoint = f"{tables.layout.tmp}/backbone_training.safetensors"
    base = _float32(config)
    before = ranking(base, judged)
    losses = _tuned(base, learned, config, checkpoint, progress)
    after = ranking(base, judged)
    if not even_if_worse and not after.get(MEAN, 0.0) > before.get(MEAN, 0.0):
        raise NotBetter(
            f"{config.tuning.base} tuned has a {MEAN} of {after.get(MEAN)} on products held out, "
            f"untuned of {before.get(MEAN)}: nothing was saved. Try another learning_rate or more "
            "steps in [tuning], or --even-if-worse."
        )
    about = {
        "config": asdict(config.tuning),
        "night": str(night),
        "held_out": config.cope.held_out,
        "split_seed": config.cope.split_seed,
        "figures": {"before": dict(before), "after": dict(after)},
        "losses": losses,
    }
    name = save_tuned(
        output.resolve(),
        _network(base),
        base=config.tuning.base,
        base_sha256=image_weights_sha256(config.tuning.base),
        about=about,
    )
    remove_checkpoint(checkpoint)
    logger.info("train backbone night=%s name=%s before=%s after=%s", night, name, before, after)
    return TunedBackbone(name, before, after)


def _float32(config: Config) -> "ImageBackbone":
    """Load the base to be trained: steps may compute in bfloat16, weights are kept in float32."""
    from encoders.backbones.image import load_image_backbone
    from encoders.hardware import choose_hardware

    hardware = choose_hardware(config.encoding.device, "float32")
    return load_image_backbone(config.tuning.base, hardware)


def _pictured_items(snapshot: Snapshot, config: Config) -> tuple["PicturedItems", "PicturedItems"]:
    """Return the items that have pictures and an SPU: to learn from, and to judge by."""
    from encoders.cope.sampling import drawn, split_of

    key = ["domain", "item_id"]
    items = snapshot.state(ITEMS, [*key, "images"]).filter(F.size("images") > 0)
    members = snapshot.state(SPU_MEMBERS, [*key, "spu_id"])
    rows = (
        items.join(members, on=key, how="inner")
        .select("spu_id", *key, "images")
        .orderBy("spu_id", *key)
        .toArrow()
    )
    spu_ids = rows["spu_id"].to_pylist()
    of_test = {
        spu: split_of(spu, held_out=config.cope.held_out, seed=config.cope.split_seed) == "test"
        for spu in set(spu_ids)
    }
    is_test_N = np.array([of_test[spu] for spu in spu_ids], dtype=bool)
    share = _MOST_JUDGED / max(1, int(is_test_N.sum()))
    is_drawn_N = np.array(drawn(spu_ids, share).tolist(), dtype=bool)
    return _pictured(rows.filter(~is_test_N)), _pictured(rows.filter(is_test_N & is_drawn_N))


def _pictured(rows: pa.Table) -> "PicturedItems":
    import torch

    from encoders.cope.tuning import PicturedItems

    spu_ids, spu_N = np.unique(rows["spu_id"].to_pylist(), return_inverse=True)
    domain_N = [DOMAINS.index(domain) for domain in rows["domain"].to_pylist()]
    return PicturedItems(
        pictures=rows["images"].to_pylist(),
        spu_N=torch.from_numpy(spu_N.reshape(-1).astype(np.int64)),
        domain_N=torch.tensor(domain_N, dtype=torch.long),
        spu_ids=[str(spu) for spu in spu_ids],
        domains=DOMAINS,
    )


def _tuned(
    base: "ImageBackbone",
    items: "PicturedItems",
    config: Config,
    checkpoint: str,
    progress: Progress | None,
) -> list[float]:
    """Tune here, or in as many processes on this machine as are configured.

    Those report no progress.
    """
    import torch

    from encoders.cope.tuning import tune, tune_jointly
    from encoders.hardware import choose_hardware

    encoding, settings = config.encoding, config.tuning
    mixed = choose_hardware(encoding.device, encoding.precision).dtype == torch.bfloat16
    if settings.processes == 1:
        return tune(base, items, settings, mixed=mixed, checkpoint=checkpoint, progress=progress)
    from pyspark.ml.torch.distributor import TorchDistributor
    from safetensors.torch import load_file

    distributor = TorchDistributor(settings.processes, local_mode=True, use_gpu=False)
    with TemporaryDirectory() as folder:
        weights = str(Path(folder) / "model.safetensors")
        losses = distributor.run(
            tune_jointly,
            settings.base,
            items,
            settings,
            device=encoding.device,
            mixed=mixed,
            checkpoint=checkpoint,
            weights=weights,
        )
        _network(base).load_state_dict(load_file(weights))
    return cast("list[float]", losses)


def _network(backbone: "ImageBackbone") -> "torch.nn.Module":
    if backbone.network is None:
        raise ValueError(f"backbone {backbone.name!r} does not give its network.")
    return backbone.network
