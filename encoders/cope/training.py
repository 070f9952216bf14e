"""COPE training: from features of items whose SPU is known to heads that beat the raw features.

COPE (Bai et al., ICCV 2023, section 3.3) with frozen backbones: symmetric InfoNCE over pairs of
domains, a row a SPU; optionally CosFace over SPUs. The heads start at a discriminant analysis
(``initialization.py``); gradients refine it, and products that neither step saw say when to stop.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import torch

from encoders.checkpoint import (
    Checkpoint,
    optimizer_tensors,
    read_checkpoint,
    restore_optimizer,
    write_checkpoint,
)
from encoders.cope.evaluation import directions, mean_of, means, raw_vectors
from encoders.cope.initialization import initialize
from encoders.cope.losses import cosface, info_nce, warm_up_and_cosine
from encoders.cope.model import CopeHeads, Features, HeadsConfig
from encoders.cope.sampling import CopeData, Pair, PairSampler
from encoders.settings import CopeConfig

# Share of the squared norm that the learned part has. On grocery_store, products not trained on,
# photo to page R@1 among new pages / among all: .3 67/41, .5 71/40, .7 74/36, 1 74/23; raw 63/42.
LEARNED_SHARE = 0.7
# Log of how much louder than the text the picture may start, the likeliest first. In the demo shop,
# products not trained on, mean R@1 over six directions and six seeds: -.5 73, 0 82, .5 84; raw 79.
_IMAGE_GAINS = (0.0, 0.5, -0.5, 1.0, -1.0)
_VALIDATION_ITEMS = 3000


class NothingToTrainOn(ValueError):
    """No item has any features."""


@dataclass(frozen=True)
class TrainedCope:
    """Heads, and what is known about them.

    Attributes:
        metrics: held-out figures beside the raw features', and the loss curve.
    """

    heads: CopeHeads
    metrics: Mapping[str, object]


Progress = Callable[[int, int], None]


def train(
    data: CopeData,
    config: CopeConfig,
    *,
    domains: Sequence[str] = ("page", "video", "live"),
    checkpoint: str | None = None,
    progress: Progress | None = None,
) -> TrainedCope:
    """Train heads; the same data and config give the same heads, interrupted or not.

    Args:
        checkpoint: file that a killed run resumes from; the caller removes it in the end.
        progress: called with epochs done and epochs in all.

    Raises:
        NothingToTrainOn: no item has any features.
    """
    run = _Run(data, config, domains)
    if checkpoint is not None:
        run.resume(checkpoint)
    while not run.finished:
        run.epoch()
        if checkpoint is not None:
            run.save(checkpoint)
        if progress is not None:
            progress(run.epochs_done, config.epochs)
    return TrainedCope(run.best_heads(), run.metrics())


class _Run:
    """State of one training; randomness depends on the seed and the epoch alone."""

    def __init__(self, data: CopeData, config: CopeConfig, domains: Sequence[str]) -> None:
        self._config, self._domains = config, tuple(domains)
        self._split = {
            name: data.of(name, held_out=config.held_out, seed=config.split_seed)
            for name in ("train", "validation", "test")
        }
        self._train = self._split["train"]
        self._sampler = PairSampler(self._train, len(self._domains))
        if not bool(data.items.present.any()):
            raise NothingToTrainOn(
                f"COPE needs items with a picture or a text; of {len(data.items)} none has either. "
                "Run the night's ingest and spu stages first, and see quarantine."
            )
        self._identity = _identity(data, config)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self._heads = CopeHeads(self._heads_config())
            classes_SD = torch.randn(len(data.spu_ids), config.dim)
        # Without a single pair the heads are the raw part of whatever there is.
        seen = self._train if self._has_pairs else data
        initialize(self._heads, seen.items, seen.spu_N)
        # Dropout would make something of a modality that says nothing.
        self._train = _informative(self._heads, self._train)
        self._sampler = PairSampler(self._train, len(self._domains))
        if self._has_pairs:
            self._heads.share_N[self._sampler.trained_domains] = LEARNED_SHARE
        self._classes_SD = torch.nn.Parameter(classes_SD) if config.cosface else None
        self._optimiser = torch.optim.AdamW(self._parameters(), weight_decay=config.weight_decay)
        start = self._fit_gain()
        self._best = _copied(self._heads)
        self._curve: list[dict[str, float]] = [{"epoch": 0, "validation_MRR": start}]
        self._best_epoch = 0

    def _heads_config(self) -> HeadsConfig:
        items = self._train.items
        return HeadsConfig(
            image_width=items.image_BI.shape[1],
            text_width=items.text_BT.shape[1],
            dim=self._config.dim,
            raw_dim=self._config.raw_dim,
            domains=self._domains,
        )

    def _parameters(self) -> list[torch.nn.Parameter]:
        parameters = list(self._heads.parameters())
        return parameters if self._classes_SD is None else [*parameters, self._classes_SD]

    def _fit_gain(self) -> float:
        """Start with the weight of pictures against texts that validates best; return the figure.

        Small steps of gradients would not get there.
        """
        figures = {}
        for gain in _IMAGE_GAINS:
            self._heads.log_gain_N2.data[:, 0] = gain
            figures[gain] = self._validate()
        best = max(_IMAGE_GAINS, key=figures.__getitem__)
        self._heads.log_gain_N2.data[:, 0] = best
        return figures[best]

    @property
    def epochs_done(self) -> int:
        return len(self._curve) - 1

    @property
    def _has_pairs(self) -> bool:
        return len(self._sampler.eligible) > 1

    @property
    def finished(self) -> bool:
        """True where nothing more can be learned."""
        if not self._has_pairs:
            return True
        waited = self.epochs_done - self._best_epoch
        return self.epochs_done >= self._config.epochs or waited >= self._config.patience

    def epoch(self) -> None:
        """Pass over the SPUs once and keep the weights if they are the best so far."""
        generator = torch.Generator().manual_seed(self._config.seed * 1_000_003 + self.epochs_done)
        losses = []
        batches = list(self._sampler.epoch(self._config.batch_size, generator))
        for number, pairs in enumerate(batches):
            if not pairs:
                continue
            done = (self.epochs_done + number / len(batches)) / self._config.epochs
            for group in self._optimiser.param_groups:
                group["lr"] = self._config.learning_rate * warm_up_and_cosine(done)
            loss = self._loss(pairs, generator)
            self._optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self._parameters(), 5.0)
            self._optimiser.step()
            losses.append(loss.item())
        self._note(sum(losses) / max(1, len(losses)))

    def _note(self, loss: float) -> None:
        figure = self._validate()
        self._curve.append({"epoch": self.epochs_done + 1, "loss": loss, "validation_MRR": figure})
        if figure > self._curve[self._best_epoch]["validation_MRR"]:
            self._best_epoch, self._best = self.epochs_done, _copied(self._heads)

    def _loss(self, pairs: Sequence[Pair], generator: torch.Generator) -> torch.Tensor:
        total, rows = torch.zeros(()), 0
        for pair in pairs:
            sides = [self._embedded(side, generator) for side in (pair.left_B, pair.right_B)]
            loss = info_nce(
                *sides,
                temperature=self._config.temperature,
                label_smoothing=self._config.label_smoothing,
            )
            if self._classes_SD is not None:
                for side, emb_BD in zip((pair.left_B, pair.right_B), sides, strict=True):
                    loss = loss + cosface(emb_BD, self._train.spu_N[side], self._classes_SD) / 2
            total, rows = total + loss * len(pair.left_B), rows + len(pair.left_B)
        return total / rows

    def _embedded(self, rows: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        items = self._train.items[rows]
        image_BI, text_BT = (
            _dropped(part, self._config.dropout, generator)
            for part in (items.image_BI, items.text_BT)
        )
        # One draw decides: below half the share the picture goes, above it the text, and never
        # both.
        draw_B1 = torch.rand(len(rows), 1, generator=generator) / self._config.modality_dropout
        both_B1 = (~items.image_BI[:, :1].isnan()) & (~items.text_BT[:, :1].isnan())
        image_BI = image_BI.masked_fill(both_B1 & (draw_B1 < 0.5), torch.nan)
        text_BT = text_BT.masked_fill(both_B1 & (draw_B1 >= 0.5) & (draw_B1 < 1), torch.nan)
        emb_BD: torch.Tensor = self._heads(Features(items.domain_B, image_BI, text_BT))
        return emb_BD

    def _validate(self) -> float:
        data = _first(self._split["validation"], _VALIDATION_ITEMS)
        with torch.no_grad():
            return mean_of(directions(self._heads(data.items), data, self._domains), "MRR")

    def best_heads(self) -> CopeHeads:
        """Return the heads of the epoch with the best validation figure."""
        heads = CopeHeads(self._heads.config)
        heads.load_state_dict(self._best)
        return heads.eval()

    def metrics(self) -> dict[str, object]:
        """Return held-out figures of the best heads, beside the raw features', and the curve."""
        heads, data = self.best_heads(), self._split["test"]
        with torch.no_grad():
            learned = directions(heads(data.items), data, self._domains)
        raw = directions(raw_vectors(heads, data.items), data, self._domains)
        return {
            "config": asdict(self._config),
            "spus": {name: len(set(part.spu_N.tolist())) for name, part in self._split.items()},
            "items": {name: len(part.items) for name, part in self._split.items()},
            "test": means(learned),
            "test_raw": means(raw),
            "test_mean_R@1": mean_of(learned, "R@1"),
            "test_raw_mean_R@1": mean_of(raw, "R@1"),
            "best_epoch": self._best_epoch,
            "curve": self._curve,
        }

    def save(self, path: str) -> None:
        """Write all that the next epoch depends on."""
        tensors = {f"heads.{name}": value for name, value in self._heads.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self._best.items()}
        if self._classes_SD is not None:
            tensors["classes"] = self._classes_SD.detach()
        tensors |= optimizer_tensors(self._optimiser)
        figures = {"curve": self._curve, "best_epoch": self._best_epoch}
        write_checkpoint(path, Checkpoint(self._identity, figures, tensors))

    def resume(self, path: str) -> None:
        """Go on where a killed run of the same data and config stopped, if there is one."""
        found = read_checkpoint(path, self._identity)
        if found is None:
            return
        self._curve, self._best_epoch = found.state["curve"], found.state["best_epoch"]
        self._heads.load_state_dict(found.part("heads."))
        self._best = found.part("best.")
        if self._classes_SD is not None:
            self._classes_SD.data.copy_(found.tensors["classes"])
        restore_optimizer(self._optimiser, found)


def _identity(data: CopeData, config: CopeConfig) -> str:
    """Return the hash of all that a training depends on."""
    digest = hashlib.sha256(json.dumps([asdict(config), list(data.spu_ids)]).encode())
    for tensor in (data.items.domain_B, data.items.image_BI, data.items.text_BT, data.spu_N):
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _informative(heads: CopeHeads, data: CopeData) -> CopeData:
    """Return the items that some modality tells from others, without the modalities that do not."""
    items = heads.informative(data.items)
    kept = items.present
    return replace(data, items=items[kept], spu_N=data.spu_N[kept])


def _dropped(x_BF: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    return x_BF * (torch.rand(x_BF.shape, generator=generator) >= share)


def _copied(heads: CopeHeads) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in heads.state_dict().items()}


def _first(data: CopeData, limit: int) -> CopeData:
    rows = torch.arange(min(limit, len(data.items)))
    return replace(data, items=data.items[rows], spu_N=data.spu_N[rows])
