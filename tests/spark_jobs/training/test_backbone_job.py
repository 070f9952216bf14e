from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from encoders.backbones.tuned import read_tuned
from encoders.settings import CopeConfig, TuningConfig
from spark_jobs.config import Config
from spark_jobs.evaluation.cope_cross_validation import Repeats, cross_validate_cope
from spark_jobs.evaluation.outcome import Unevaluable
from spark_jobs.night import Night
from spark_jobs.training.backbone_job import NotBetter, tune_backbone
from spark_jobs.training.cope_job import OtherSplit, train_cope
from spark_jobs.warehouse.snapshot import Snapshot
from spark_jobs.warehouse.tables import Tables

StageShop = Callable[[Night], None]


@pytest.fixture
def config(tables: Tables) -> Config:
    return Config(
        warehouse=tables.warehouse,
        cope=CopeConfig(held_out=0.4, steps=0),
        tuning=TuningConfig(steps=2, batch_size=4),
    )


def test_a_tuned_backbone_is_saved_if_it_is_better_or_meant_so(
    tables: Tables, night: Night, config: Config, stage_shop: StageShop, tmp_path: Path
) -> None:
    stage_shop(night)  # pages and videos of one picture: nothing can be better
    output = tmp_path / "tuned"
    steps: list[tuple[int, int]] = []

    with pytest.raises(NotBetter, match=r"mean R@1 of .*nothing was saved.*--even-if-worse"):
        tune_backbone(tables, config, night, output, progress=lambda *step: steps.append(step))
    was_saved = output.exists()
    made = tune_backbone(tables, config, night, output, even_if_worse=True)

    assert (was_saved, steps) == (False, [(1, 2), (2, 2)])
    about = read_tuned(made.name).about
    assert (about["held_out"], about["split_seed"], len(about["losses"])) == (0.4, 0, 2)
    assert about["figures"] == {"before": made.before, "after": made.after}
    assert not list(Path(tables.layout.tmp).glob("backbone_training*"))
    with pytest.raises(FileExistsError, match="Name a folder to be made"):
        tune_backbone(tables, config, night, output)
    _check_that_it_is_not_judged_by_what_it_learned(tables, night, config, made.name)


def _check_that_it_is_not_judged_by_what_it_learned(
    tables: Tables, night: Night, config: Config, name: str
) -> None:
    on_it = replace(config.cope, image_backbones=(name,), split_seed=1)
    other = replace(config, cope=on_it)
    with pytest.raises(OtherSplit, match=r"was tuned with .*'split_seed': 0"):
        train_cope(tables, other, night)
    snapshot = Snapshot(tables, night, "staged")
    with pytest.raises(Unevaluable, match="has learned from products that would be left out"):
        cross_validate_cope(snapshot, other, Repeats(), lambda *_: None)
