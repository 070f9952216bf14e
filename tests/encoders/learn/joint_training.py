"""A process of a joint training, on a small world: started by ``test_processes.py``.

    python joint_training.py FOLDER [KILLED_AFTER]

Reads ``world.npz`` and ``config.json`` of the folder; writes the trained towers and the curve of
its rank, or dies after some epochs.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
from safetensors.torch import save_file
from torch import distributed

from encoders.learn import training
from encoders.learn.history import History
from encoders.learn.training import train_jointly
from encoders.learn.training_run import TrainingRun
from encoders.settings import LearnConfig


def main(folder: Path, killed_after: int | None) -> None:
    world = np.load(folder / "world.npz")
    histories = [History.one_by_one(items) for items in world["histories"]]
    config = LearnConfig(**json.loads((folder / "config.json").read_text()))
    if killed_after is not None:
        _kill_after(killed_after)
    trained = train_jointly(
        world["contents"],
        histories,
        config,
        watched_from=[len(history) - 2 for history in histories],
        checkpoint=str(folder / "checkpoint"),
    )
    rank = os.environ["RANK"]
    tensors = {name: tensor.clone() for name, tensor in trained.towers.state_dict().items()}
    save_file(tensors, folder / f"trained_{rank}.safetensors")
    (folder / f"curve_{rank}.json").write_text(json.dumps(trained.curve))


def _kill_after(epochs: int) -> None:
    """Let the process die as it begins the epoch after so many, whatever others do."""
    whole_epoch, begun = TrainingRun.one_epoch, 0

    def dying(run: TrainingRun, epoch: int) -> float:
        nonlocal begun
        begun += 1
        if begun > epochs:
            distributed.barrier()
            os._exit(9)
        return whole_epoch(run, epoch)

    training.TrainingRun.one_epoch = dying  # type: ignore[method-assign]


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
