"""Refinement: a small residual on the closed-form map, learned by gradients.

COPE's contrastive loss (Bai et al., ICCV 2023, section 3.3): symmetric InfoNCE over pairs of
domains, a row a SPU; optionally CosFace over SPUs. The residual decays towards nothing, so that the
map stays near its start where there is little to learn from.

Shapes: N items, B items of a batch, M domains, P reduced features, L learned numbers, S SPUs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from encoders.cope.discriminant import discriminant_directions
from encoders.cope.items import is_missing, unit
from encoders.cope.losses import cosface, info_nce
from encoders.cope.sampling import CopeData, Pair, PairSampler
from encoders.settings import CopeConfig

_WARM_UP = 20
_MAX_NORM = 5.0


@dataclass(frozen=True)
class Reduced:
    """Items as the map reads them, in the principal directions of each backbone.

    Attributes:
        data: the items; their features are not read here.
        image_NP, text_NP: zeros where missing.
    """

    data: CopeData
    image_NP: torch.Tensor
    text_NP: torch.Tensor

    def where(self, chosen_N: torch.Tensor) -> "Reduced":
        """Return the chosen items."""
        return Reduced(self.data.where(chosen_N), self.image_NP[chosen_N], self.text_NP[chosen_N])

    def weighted(self, image: float, text: float) -> torch.Tensor:
        """Return both modalities side by side [N, P]."""
        return torch.cat((image * self.image_NP, text * self.text_NP), dim=1)


@dataclass(frozen=True)
class Map:
    """A map of reduced features.

    Attributes:
        map_PL: for all domains.
        shift_ML: of each domain.
    """

    map_PL: torch.Tensor
    shift_ML: torch.Tensor

    def __call__(self, read_NP: torch.Tensor, domain_N: torch.Tensor) -> torch.Tensor:
        """Return vectors of unit norm [N, L]."""
        return unit(read_NP @ self.map_PL + self.shift_ML[domain_N])


def closed_form(items: Reduced, read_NP: torch.Tensor, dims: int, domains: int) -> Map:
    """Return the map before any gradient; principal directions where no SPU has two items."""
    spu_N, domain_N = items.data.spu_N, items.data.items.domain_B
    map_PL = discriminant_directions(read_NP.double(), spu_N, domain_N, dims).float()
    return Map(map_PL, torch.zeros(domains, dims))


class Refinement:
    """State of one run; randomness depends on the seed alone."""

    def __init__(
        self, items: Reduced, read_NP: torch.Tensor, start: Map, config: CopeConfig
    ) -> None:
        self._data, self._config = items.data, config
        # Where both modalities are there, and where the text begins.
        self._both_N1 = ~(is_missing(items.image_NP) | is_missing(items.text_NP))
        self._image_width = items.image_NP.shape[1]
        self._read_NP, self._start = read_NP.float(), start
        self._generator = torch.Generator().manual_seed(config.seed)
        self._residual_PL = torch.nn.Parameter(torch.zeros_like(start.map_PL))
        self._shift_ML = torch.nn.Parameter(start.shift_ML.clone())
        parameters = [self._residual_PL, self._shift_ML]
        self._classes_SL: torch.nn.Parameter | None = None
        if config.cosface:
            classes_SL = torch.randn(
                len(items.data.spu_ids), start.map_PL.shape[1], generator=self._generator
            )
            self._classes_SL = torch.nn.Parameter(classes_SL)
            parameters.append(self._classes_SL)
        self._parameters = parameters
        self._optimiser = torch.optim.AdamW(parameters, weight_decay=config.weight_decay)
        self._steps = 0
        self._sampler = PairSampler(items.data, len(start.shift_ML))
        self._batches = self._endless()

    @property
    def map(self) -> Map:
        """The map as it is now."""
        residual_PL, shift_ML = self._residual_PL.detach(), self._shift_ML.detach()
        return Map(self._start.map_PL + residual_PL, shift_ML.clone())

    def steps(self, count: int) -> float:
        """Take steps; return their mean loss, 0 where there is no pair to learn from."""
        if len(self._sampler.eligible) < 2:
            return 0.0
        losses = [self._step(next(self._batches)) for _ in range(count)]
        taken = [loss for loss in losses if loss is not None]
        return sum(taken) / max(1, len(taken))

    def _endless(self) -> Iterator[Sequence[Pair]]:
        while True:
            yield from self._sampler.epoch(self._config.batch_size, self._generator)

    def _step(self, pairs: Sequence[Pair]) -> float | None:
        self._steps += 1
        if not pairs:
            return None
        for group in self._optimiser.param_groups:
            group["lr"] = self._config.learning_rate * min(1.0, self._steps / _WARM_UP)
        loss = self._loss(pairs)
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._parameters, _MAX_NORM)
        self._optimiser.step()
        return loss.item()

    def _loss(self, pairs: Sequence[Pair]) -> torch.Tensor:
        total, rows = torch.zeros(()), 0
        for pair in pairs:
            sides = [self._embedded(side) for side in (pair.left_B, pair.right_B)]
            loss = info_nce(
                *sides,
                temperature=self._config.temperature,
                label_smoothing=self._config.label_smoothing,
            )
            if self._classes_SL is not None:
                for side, emb_BL in zip((pair.left_B, pair.right_B), sides, strict=True):
                    loss = loss + cosface(emb_BL, self._data.spu_N[side], self._classes_SL) / 2
            total, rows = total + loss * len(pair.left_B), rows + len(pair.left_B)
        return total / rows

    def _embedded(self, rows: torch.Tensor) -> torch.Tensor:
        read_BP = self._read_NP[rows]
        kept_BP = torch.rand(read_BP.shape, generator=self._generator) >= self._config.dropout
        # One draw decides: below half the share the picture goes, above it the text, never both.
        draw_B1 = (
            torch.rand(len(rows), 1, generator=self._generator) / self._config.modality_dropout
        )
        draw_B1 = draw_B1.where(self._both_N1[rows], 1.0)
        is_image_P = torch.arange(read_BP.shape[1]) < self._image_width
        gone_BP = torch.where(is_image_P, draw_B1 < 0.5, (draw_B1 >= 0.5) & (draw_B1 < 1))
        now = Map(self._start.map_PL + self._residual_PL, self._shift_ML)
        return now(read_BP * kept_BP * ~gone_BP, self._data.items.domain_B[rows])
