"""Training of LEARN's towers: the number of epochs is chosen, then they learn from everything.

First the towers learn from what lies before the events that are watched, and after every epoch
they rank the catalogue for the users of those: nDCG@10 of what they met then and had not met
before. Epoch 0, the untrained towers, competes. Then new towers learn from all events, for as many
epochs as ranked best. A loss decides nothing: it falls while the ranking gets worse
(``docs/results/2026-11-29-learn-early-stopping.md``).

A training that was killed and resumed ends with the weights of an uninterrupted one.

Shapes: N items, C content width, F behaviour's width.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from encoders.hardware import choose_hardware
from encoders.learn.evaluation import compared, tower_ranker, user_scores
from encoders.learn.folding import Basis
from encoders.learn.history import Case, History
from encoders.learn.ridge import ChosenWhitening, chosen_whitening
from encoders.learn.rules import Ranker, Rules, added
from encoders.learn.run_checkpoints import RunCheckpoints, training_identity
from encoders.learn.towers import Towers, tower_config
from encoders.learn.training_run import TrainingRun, copied
from encoders.learn.whitening import Whitening
from encoders.processes import agreed, joined
from encoders.settings import LearnConfig

# Of the users watched: what the number of epochs is chosen by.
FIGURE = "ndcg@10"
_WATCHED_STREAM = 1 << 31
# Of the cosine beside a rule, whose scores grow with the history.
_WEIGHTS = (0.0, 1.0, 3.0, 10.0, 30.0, 100.0)

Curve = list[dict[str, float]]
Figures = dict[str, dict[str, float]]
# Of finished epochs and all epochs.
Progress = Callable[[int, int], None]


class TooFewSequences(ValueError):
    """There is nothing to learn from."""


@dataclass(frozen=True)
class Trained:
    """Towers that learned from all events.

    Attributes:
        behaviour_NF: what they read of each item beside its content.
        basis: to fold later events into it.
        untrained: as they were before the first epoch.
        curve: a row an epoch of the run that is watched: epoch, ndcg@10, loss; epoch 0 has no loss.
        watched: on the users watched, the metrics of the best epoch (``learn``), of the towers
            ``untrained``, and of the rules, which know what the towers learned from and no more.
        teacher: the blend that ranks best for them.
        weight: of the towers' cosine beside the teacher's scores, with which both together rank
            best for them.
        fitted: the whitening, and how its ridge was chosen.
    """

    towers: Towers
    untrained: Towers
    behaviour_NF: NDArray[np.float32]
    basis: Basis
    curve: Curve
    watched: Figures
    teacher: str
    weight: float
    fitted: ChosenWhitening

    @property
    def best_epoch(self) -> int:
        return best_epoch(self.curve)


def best_epoch(curve: Curve) -> int:
    """Return the epoch that ranked best for the users watched; the earliest of equals."""
    return int(max(curve, key=lambda row: row[FIGURE])["epoch"])


def train(
    content_NC: NDArray[np.float32],
    histories: Sequence[History],
    config: LearnConfig,
    *,
    watched_from: Sequence[int],
    checkpoint: str | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> Trained:
    """Train towers on what users met.

    Args:
        content_NC: content of each item.
        histories: of each user, all that training may know.
        watched_from: of each user, how many items lie before the moment from which on events are
            watched.
        checkpoint: file, on any fsspec location, to resume from after a kill; removed at the end.
        progress: told of finished epochs and all.

    Raises:
        TooFewSequences: fewer than four users met things at two moments.
    """
    check_sequences(histories)
    tell = progress or (lambda _, __: None)
    with _threads(config.threads):
        identity = training_identity(content_NC, histories, watched_from, config, figure=FIGURE)
        checkpoints = RunCheckpoints(checkpoint, identity)
        learners = [h.until(size) for h, size in zip(histories, watched_from, strict=True)]
        cases = _watched_cases(histories, watched_from, config)
        content = torch.from_numpy(np.ascontiguousarray(content_NC))
        fitted = chosen_whitening(content, learners, cases, config, figure=FIGURE)
        runs = _Runs(content, fitted.whitening, config, device)
        known = runs.rules(learners)
        of_rules = compared(known.by_name, cases)
        teacher = max(known.blends, key=lambda name: agreed(of_rules[name].get(FIGURE, 0.0)))
        watched = runs.started(learners, known, teacher)
        curve, rankers = _watched_run(watched, cases, checkpoints, tell)
        figures = {**compared(rankers, cases), **of_rules}
        weight = _best_weight(rankers["learn"], known.blends[teacher], cases)
        final = runs.started(histories, runs.rules(histories), teacher)
        untrained = _towers(final, copied(final.towers))
        _learn_again(final, best_epoch(curve), checkpoints, tell)
    checkpoints.remove()
    tell(2 * config.epochs, 2 * config.epochs)
    towers = _towers(final, copied(final.towers))
    return Trained(
        towers,
        untrained,
        final.behaviour_NF,
        final.basis,
        curve,
        figures,
        teacher,
        weight,
        fitted,
    )


def train_jointly(
    content_NC: NDArray[np.float32],
    histories: Sequence[History],
    config: LearnConfig,
    *,
    watched_from: Sequence[int],
    checkpoint: str | None = None,
) -> Trained:
    """Train as one of the processes that a launcher started; see ``train`` and ``joined``.

    Every process is given the same, draws the same batches, and learns from its share of each. All
    come to the same towers, up to the rounding of sums.
    """
    with joined():
        return train(
            content_NC,
            histories,
            config,
            watched_from=watched_from,
            checkpoint=checkpoint,
            device="cpu",
        )


class _Runs:
    """Runs over the same contents, from the same first weights."""

    def __init__(
        self, content_NC: torch.Tensor, whitening: Whitening, config: LearnConfig, device: str
    ) -> None:
        self._config, self._device = config, choose_hardware(device, "float32").device
        self._content, self._whitening = content_NC, whitening

    def rules(self, histories: Sequence[History]) -> Rules:
        return Rules(self._whitening(self._content), histories)

    def started(self, histories: Sequence[History], rules: Rules, teacher: str) -> TrainingRun:
        torch.manual_seed(self._config.seed)
        towers = Towers(tower_config(self._config, *self._whitening.map_CK.shape))
        towers.use(self._whitening)
        towers.fade_from(rules.blends[teacher].decay)
        run = TrainingRun(
            towers.to(self._device), self._content, histories, rules, self._config, teacher=teacher
        )
        towers.eval().calibrate(run.inputs_NX)
        return run


def _watched_run(
    run: TrainingRun, cases: Sequence[Case], checkpoints: RunCheckpoints, tell: Progress
) -> tuple[Curve, dict[str, Ranker]]:
    """Learn until no epoch ranks better; return the curve, and the best and untrained towers."""
    config, untrained = run.config, _towers(run, copied(run.towers))
    saved = checkpoints.read("watched")
    if saved:
        run.restore(saved)
        curve, best = list(saved.state["curve"]), saved.part("best.")
    else:
        curve, best = [{"epoch": 0, FIGURE: _figure(run, cases)}], copied(run.towers)
    for epoch in range(len(curve), config.epochs + 1):
        if epoch - 1 - best_epoch(curve) >= config.patience:
            break
        loss = run.one_epoch(epoch)
        curve.append({"epoch": epoch, FIGURE: _figure(run, cases), "loss": loss})
        if best_epoch(curve) == epoch:
            best = copied(run.towers)
        tensors = {f"best.{name}": value for name, value in best.items()}
        checkpoints.write("watched", curve, {**run.tensors(), **tensors})
        tell(epoch, 2 * config.epochs)
    inputs_NX = run.inputs_NX
    return curve, {
        "learn": tower_ranker(_towers(run, best), inputs_NX),
        "untrained": tower_ranker(untrained, inputs_NX),
    }


def _best_weight(learned: Ranker, rule: Ranker, cases: Sequence[Case]) -> float:
    """Return the weight of the cosine beside the rule with which both rank best; least of equals.

    0 where the towers add nothing.
    """
    figures = {
        weight: float(user_scores(added(rule, learned, weight), cases)[FIGURE].sum())
        for weight in _WEIGHTS
    }
    return max(figures, key=lambda weight: figures[weight])


def _learn_again(
    run: TrainingRun, epochs: int, checkpoints: RunCheckpoints, tell: Progress
) -> None:
    saved = checkpoints.read("final")
    curve: Curve = []
    if saved:
        run.restore(saved)
        curve = list(saved.state["curve"])
    for epoch in range(len(curve) + 1, epochs + 1):
        curve.append({"epoch": epoch, "loss": run.one_epoch(epoch)})
        checkpoints.write("final", curve, run.tensors())
        tell(run.config.epochs + epoch, 2 * run.config.epochs)


def _figure(run: TrainingRun, cases: Sequence[Case]) -> float:
    """Return nDCG@10 of the users watched; 0 where none of them met anything new."""
    of_users = user_scores(tower_ranker(run.towers, run.inputs_NX), cases)[FIGURE]
    return agreed(float(of_users.mean()) if len(of_users) else 0.0)


def _towers(run: TrainingRun, weights: Mapping[str, torch.Tensor]) -> Towers:
    towers = Towers(run.towers.config)
    towers.load_state_dict(weights)
    return towers.to(run.inputs_NX.device).eval()


def _watched_cases(
    histories: Sequence[History], watched_from: Sequence[int], config: LearnConfig
) -> list[Case]:
    """Return users with items on both sides of the moment, a sample of them if they are many."""
    both = [
        Case(history.until(size), history.items[size:])
        for history, size in zip(histories, watched_from, strict=True)
        if 0 < size < len(history)
    ]
    rng = np.random.default_rng((config.seed, _WATCHED_STREAM))
    chosen = sorted(rng.permutation(len(both))[: config.max_watched].tolist())
    return [both[row] for row in chosen]


def check_sequences(histories: Sequence[History]) -> None:
    """Refuse what there is nothing to learn from.

    Raises:
        TooFewSequences: fewer than four users met things at two moments.
    """
    usable = sum(len(history) > 0 and history.moments[-1] > 0 for history in histories)
    if usable < 4:
        raise TooFewSequences(
            f"LEARN needs four users who met something at two moments or more, but only {usable} "
            f"of {len(histories)} did. Train later, or on a longer span of time."
        )


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        # Sums taken by several threads come out in another order each time.
        with threadpool_limits(count):
            yield
    finally:
        torch.set_num_threads(before)
