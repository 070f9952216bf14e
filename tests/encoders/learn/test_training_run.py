"""Training runs: what decides how an epoch goes."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from encoders.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from encoders.learn import losses, training_run
from encoders.learn.batches import Batch
from encoders.learn.history import History
from encoders.learn.rules import Rules
from encoders.learn.towers import Towers, tower_config
from encoders.learn.training_run import TrainingRun, repeated_share
from encoders.learn.whitening import fitted_whitening
from encoders.settings import LearnConfig

Excluded = NDArray[np.bool_]
N_ITEMS = 20
CONFIG = LearnConfig(
    dim=6, hidden=4, factors=3, whitened_width=8, epochs=3, batch_size=8, candidates=9
)


def _histories(users: int = 12) -> list[History]:
    rng = np.random.default_rng(0)
    return [History.one_by_one(rng.permutation(N_ITEMS)[:4]) for _ in range(users)]


def _run(histories: list[History], config: LearnConfig = CONFIG, *, seed: int = 0) -> TrainingRun:
    torch.manual_seed(seed)
    content = torch.randn(N_ITEMS, 8, generator=torch.Generator().manual_seed(0))
    whitening = fitted_whitening(content, max_width=8, ridge=0.03)
    towers = Towers(tower_config(config, *whitening.map_CK.shape))
    towers.use(whitening)
    rules = Rules(whitening(content), histories)
    return TrainingRun(towers, content, histories, rules, config, teacher="neighbour_blend")


def _weights(run: TrainingRun) -> dict[str, list[float]]:
    return {name: value.flatten().tolist() for name, value in run.towers.state_dict().items()}


def test_a_run_that_is_restored_goes_on_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    path = str(tmp_path / "run.safetensors")
    run, other = _run(_histories()), _run(_histories(), seed=1)
    run.one_epoch(1)
    write_checkpoint(path, Checkpoint("a run", {}, run.tensors()))
    saved = read_checkpoint(path, "a run")
    assert saved is not None
    other.restore(saved)

    one, resumed = (each.one_epoch(2) for each in (run, other))

    assert one == resumed
    assert _weights(run) == _weights(other)


def test_an_epoch_lowers_the_loss_and_leaves_the_towers_calibrated() -> None:
    run = _run(_histories())

    curve = [run.one_epoch(epoch) for epoch in (1, 2, 3)]

    assert curve[2] < curve[0]
    assert not run.towers.training
    with torch.inference_mode():
        key, popularity = run.towers.keys(run.inputs_NX)
    lengths = (key.square().sum(dim=1) + (popularity / run.towers.popularity_scale) ** 2).sqrt()
    torch.testing.assert_close(lengths.max(), run.towers.longest_key)


@pytest.mark.parametrize("users", [0, 3])
def test_where_nobody_met_things_at_two_moments_an_epoch_changes_no_weight(users: int) -> None:
    run = _run([History.at([user, 5], [3, 3]) for user in range(users)])
    before = {name: p.clone() for name, p in run.towers.named_parameters()}

    assert run.one_epoch(1) == 0
    assert all(torch.equal(p, before[name]) for name, p in run.towers.named_parameters())
    _run([]).restore(Checkpoint("a run", {}, run.tensors()))


def test_the_learning_rate_warms_up_and_falls_to_nothing() -> None:
    # Twenty-four users with three cuts each, sixteen at a time: five steps an epoch.
    run = _run(_histories(24), replace(CONFIG, batch_size=16))

    rates = np.array([run._learning_rate(epoch, step) for epoch in (1, 2, 3) for step in range(5)])

    assert rates[0] < rates[1] == rates.max() < CONFIG.learning_rate
    assert (np.diff(rates[1:]) < 0).all()
    assert rates[-1] == pytest.approx(0, abs=1e-12)


@dataclass
class Steps:
    """What the steps of a run came by."""

    batches: list[Batch] = field(default_factory=list)
    candidates: list[NDArray[np.int64]] = field(default_factory=list)
    logits: list[NDArray[np.float32]] = field(default_factory=list)

    def known_candidates(self, batch: Batch, candidates_C: NDArray[np.int64]) -> Excluded:
        self.batches.append(batch)
        self.candidates.append(candidates_C)
        return losses.known_candidates(batch, candidates_C)

    def next_item_loss(self, logits_BC: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        self.logits.append(logits_BC.detach().numpy())
        return losses.next_item_loss(logits_BC, *args, **kwargs)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    recorded = Steps()
    monkeypatch.setattr(training_run, "known_candidates", recorded.known_candidates)
    monkeypatch.setattr(training_run, "next_item_loss", recorded.next_item_loss)
    return recorded


def test_epochs_draw_other_candidates_and_an_epoch_draws_its_own_again(steps: Steps) -> None:
    # One user with one cut: the batches of all epochs are alike.
    history = History.at(range(N_ITEMS), [0] * (N_ITEMS - 1) + [1])
    for epoch in (1, 2, 1):
        _run([history]).one_epoch(epoch)

    first, second, again = (candidates.tolist() for candidates in steps.candidates)
    assert first == again != second


def test_items_that_nobody_met_are_no_negatives(steps: Steps) -> None:
    _run([History.one_by_one([3, 4, 5, user % 3]) for user in range(12)]).one_epoch(1)

    assert set(np.concatenate(steps.candidates).tolist()) == {0, 1, 2, 3, 4, 5}


@pytest.mark.parametrize("repeats", [True, False], ids=["usual repeats", "new items"])
def test_logits_are_the_scores_less_the_chance_to_be_drawn_of_items_that_are_candidates(
    steps: Steps, repeats: bool
) -> None:
    histories = [History.one_by_one([u, u + 1, u + 2, u if repeats else u + 3]) for u in range(9)]
    run = _run(histories, replace(CONFIG, behaviour_dropout=0.0))
    with torch.inference_mode():
        query = run.towers.query(run.inputs_NX).numpy()
        key, popularity = (part.numpy() for part in run.towers.keys(run.inputs_NX))
        pace = torch.sigmoid(run.towers.fading_E).numpy()
    share = np.bincount(np.concatenate([h.items for h in histories]), minlength=N_ITEMS) / 36

    run.one_epoch(1)

    batch, candidates = steps.batches[0], steps.candidates[0]
    # Where repeats are usual, new items have a softmax of their own, before that of all items.
    logits = steps.logits[1 if repeats else 0]
    for row, history in enumerate(batch.histories):
        user = sum(query[i] * pace**age for i, age in zip(history.items, history.ages, strict=True))
        targets = batch.target_P[batch.of_P == row]
        for column, item in enumerate(candidates):
            is_candidate = repeats or item in targets or item not in batch.known[row]
            drawn = 1 - np.exp(-(len(batch.target_P) * share[item] + 9 / np.sum(share > 0)))
            score = user @ key[item] + popularity[item] - np.log(drawn)
            assert logits[row, column] == pytest.approx(
                score if is_candidate else losses.NEVER, rel=1e-4, abs=1e-4
            )


@pytest.mark.parametrize("dropout", [0.0, 1.0])
def test_behaviour_that_is_dropped_always_teaches_its_weights_nothing(dropout: float) -> None:
    run = _run(_histories(), replace(CONFIG, behaviour_dropout=dropout))
    weight = run.towers.key.linear.weight
    behaviour = slice(run.towers.config.whitened_width, None)
    before: NDArray[np.float32] = weight.detach()[:, behaviour].numpy().copy()

    run.one_epoch(1)

    after = weight.detach()[:, behaviour].numpy()
    # Weight decay alone shrinks all weights of a direction by the same share.
    shares = after / before
    assert (np.ptp(shares) < 1e-5) == (dropout == 1.0)


def test_repeats_are_counted_at_later_moments_only_and_once_a_moment() -> None:
    # Later: 2 (new), 1 (a repeat), 3 (new) twice, 2 (a repeat).
    history = History.at([1, 1, 2, 1, 3, 3, 2], [0, 0, 1, 2, 3, 3, 4])

    assert repeated_share([history]) == 2 / 4
    assert repeated_share([history, History.one_by_one([7, 8]), History.one_by_one([])]) == 2 / 5


@pytest.mark.parametrize(
    "histories",
    [[], [History.one_by_one([])], [History.at([1, 1], [0, 0])]],
    ids=["nobody", "an empty history", "one moment"],
)
def test_without_a_later_moment_nothing_is_repeated(histories: list[History]) -> None:
    assert repeated_share(histories) == 0


@pytest.mark.parametrize("repeats", [True, False])
def test_items_of_the_history_are_candidates_where_repeats_are_usual(repeats: bool) -> None:
    histories = [History.one_by_one([u, u + 1, u if repeats else u + 2]) for u in range(9)]

    assert _run(histories).repeats_are_usual is repeats
