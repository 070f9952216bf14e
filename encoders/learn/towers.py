"""Towers: LEARN's networks, from what is known of items to vectors of items and of users.

An item goes through two towers. The key tower says what the item is like to be met; the query tower
what is met after it. A user is the sum of the queries of the history, each faded by its age in
moments, a dimension at its own pace. The score of an item for a user is the product of the two,
plus the item's popularity: a cosine of contents cannot carry that.

Vectors come out with unit norm, and their cosine ranks as that score does: a user's vector has a
constant beside the sum, an item's its popularity, and one more number which brings all items to one
length (Bachrach et al., RecSys 2014).

Shapes: B users, N items, C content width, K whitened width, F behaviour factors of a side, X input
width, E latent width, D dimension, P pairs of a user and an item of the history.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from encoders.learn.behaviour import behaviour_width
from encoders.learn.history import History
from encoders.learn.whitening import Whitening
from encoders.settings import LearnConfig

_DEFAULTS = LearnConfig()
# Numbers of a vector beside the latent ones: popularity, and what makes up for the norm.
_EXTRA = 2
# Root mean square of the coordinates that the towers read: of text, and of behaviour.
_TEXT_SCALE, _BEHAVIOUR_SCALE = 0.25, 0.5
# The logarithm of ten thousand events becomes about 1.
_EVENTS_SCALE = 0.1


@dataclass(frozen=True)
class TowerConfig:
    """Sizes of the towers, as an encoder's ``config.json`` has them; see ``LearnConfig``.

    Attributes:
        content_width: C, of the language model's states.
        whitened_width: K, leading directions of the catalogue that are kept.
        factors: F.
        dim: D.
        factor_shrinkage: 0 in versions from before December 2026.
    """

    content_width: int
    whitened_width: int
    factors: int = _DEFAULTS.factors
    dim: int = _DEFAULTS.dim
    hidden: int = _DEFAULTS.hidden
    max_history: int = _DEFAULTS.max_history
    factor_shrinkage: float = 0.0

    def __post_init__(self) -> None:
        if self.dim < _EXTRA + 2:
            raise ValueError(f"LEARN's dim should be at least {_EXTRA + 2}, but is {self.dim}.")

    @property
    def behaviour_width(self) -> int:
        """Numbers of an item's behaviour: both sides' factors, and the log of its events."""
        return behaviour_width(self.factors)


def tower_config(settings: LearnConfig, content_width: int, whitened_width: int) -> TowerConfig:
    """Return the sizes that settings give over contents of some width."""
    return TowerConfig(
        content_width=content_width,
        whitened_width=whitened_width,
        factors=settings.factors,
        dim=settings.dim,
        hidden=settings.hidden,
        max_history=settings.max_history,
        factor_shrinkage=settings.factor_shrinkage,
    )


class Towers(nn.Module):
    """The query tower and the key tower."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.config = config
        latent, inputs = config.dim - _EXTRA, config.whitened_width + config.behaviour_width
        self.mean_C: torch.Tensor
        self.map_CK: torch.Tensor
        self.popularity_scale: torch.Tensor
        self.longest_key: torch.Tensor
        self.register_buffer("mean_C", torch.zeros(config.content_width))
        self.register_buffer("map_CK", torch.eye(config.content_width, config.whitened_width))
        self.register_buffer("popularity_scale", torch.ones(()))
        self.register_buffer("longest_key", torch.ones(()))
        self.query = _Tower(inputs, latent, config.hidden)
        self.key = _Tower(inputs, latent, config.hidden)
        self.popularity = nn.Linear(inputs, 1)
        self.events_weight = nn.Parameter(torch.tensor(0.3))
        self.fading_E = nn.Parameter(torch.zeros(latent))
        self.log_scale = nn.Parameter(torch.tensor(latent**-0.5).log())
        nn.init.zeros_(self.popularity.weight)
        nn.init.zeros_(self.popularity.bias)

    def use(self, whitening: Whitening) -> None:
        """Take over a fitted whitening."""
        self.mean_C.copy_(whitening.mean_C)
        self.map_CK.copy_(whitening.map_CK)

    @torch.no_grad()
    def fade_from(self, decay: float) -> None:
        """Let queries start to fade by ``decay`` a moment."""
        self.fading_E.fill_(float(torch.logit(torch.tensor(decay))))

    def inputs(self, content_NC: torch.Tensor, behaviour_NB: torch.Tensor) -> torch.Tensor:
        """Return what the towers read of each item [N, X].

        Args:
            behaviour_NB: ``behaviour``; zeros of an item that nobody met.
        """
        white_NK = functional.normalize(Whitening(self.mean_C, self.map_CK)(content_NC), dim=1)
        factors_NF, log_events_N1 = behaviour_NB[:, :-1], behaviour_NB[:, -1:]
        weight_N1 = self._factor_weight(log_events_N1.expm1())
        return torch.cat(
            [
                white_NK * (_TEXT_SCALE * self.config.whitened_width**0.5),
                factors_NF * (_BEHAVIOUR_SCALE * self.config.factors**0.5) * weight_N1,
                log_events_N1 * _EVENTS_SCALE,
            ],
            dim=1,
        )

    def _factor_weight(self, events_N1: torch.Tensor) -> torch.Tensor:
        shrinkage = self.config.factor_shrinkage
        return events_N1 / (events_N1 + shrinkage) if shrinkage else torch.ones_like(events_N1)

    def without_behaviour(self, inputs_NX: torch.Tensor, where_N: torch.Tensor) -> torch.Tensor:
        """Return the inputs with some items as if nobody had met them: their text alone stays."""
        inputs_NX = inputs_NX.clone()
        inputs_NX[where_N, self.config.whitened_width :] = 0
        return inputs_NX

    def keys(self, inputs_NX: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the latent key [N, E] and the popularity [N] of each item."""
        key_NE = self.key(inputs_NX) * self.log_scale.exp()
        log_events_N = inputs_NX[:, -1] / _EVENTS_SCALE
        return key_NE, self.popularity(inputs_NX)[:, 0] + self.events_weight * log_events_N

    def sums(
        self,
        query_NE: torch.Tensor,
        items_P: torch.Tensor,
        ages_P: torch.Tensor,
        of_P: torch.Tensor,
    ) -> torch.Tensor:
        """Return the faded sum of queries [B, E].

        Args:
            query_NE: of each item.
            items_P: of each pair of a user and an item of the history.
            ages_P: in moments.
            of_P: user of each; every user is there.
        """
        fading_PE = torch.sigmoid(self.fading_E) ** ages_P[:, None]
        sum_BE = query_NE.new_zeros(int(of_P.max()) + 1, query_NE.shape[1])
        return sum_BE.index_add(0, of_P, query_NE[items_P] * fading_PE)

    @torch.no_grad()
    def calibrate(self, inputs_NX: torch.Tensor) -> None:
        """Fix the scales of the vectors for a catalogue; the order of the scores stays.

        Popularity gets about the length of the keys, so that the cosine of two items is of both.
        """
        key_NE, popularity_N = self.keys(inputs_NX)
        length = key_NE.norm(dim=1).median().clamp(min=1e-6)
        self.popularity_scale.copy_((popularity_N.abs().max() / length).clamp(min=1.0))
        scaled_N = popularity_N / self.popularity_scale
        self.longest_key.copy_((key_NE.square().sum(dim=1) + scaled_N.square()).max().sqrt())

    def no_history(self) -> torch.Tensor:
        """Return the vector of a user without history, unit norm [D]: items rank by popularity."""
        return functional.one_hot(torch.tensor(self.config.dim - _EXTRA), self.config.dim).float()

    def items(self, inputs_NX: torch.Tensor) -> torch.Tensor:
        """Return item vectors, unit norm [N, D]."""
        key_NE, popularity_N = self.keys(inputs_NX)
        key_NL = torch.cat([key_NE, popularity_N[:, None] / self.popularity_scale], dim=1)
        missing_N1 = self.longest_key.square() - key_NL.square().sum(dim=1, keepdim=True)
        # Of an item more extreme than all in training nothing is missing: it is cut to unit norm.
        return functional.normalize(torch.cat([key_NL, missing_N1.clamp(min=0).sqrt()], 1), dim=1)

    def users(self, inputs_NX: torch.Tensor, histories: Sequence[History]) -> torch.Tensor:
        """Return user vectors, unit norm [B, D].

        Args:
            histories: rows of ``inputs_NX``, one item at least; the newest are read.
        """
        newest = [history.newest(self.config.max_history) for history in histories]
        items_P, ages_P, of_P = (part.to(inputs_NX.device) for part in flat_histories(newest))
        sum_BE = self.sums(self.query(inputs_NX), items_P, ages_P, of_P)
        constant_B1 = self.popularity_scale.expand(len(sum_BE), 1)
        return functional.normalize(
            torch.cat([sum_BE, constant_B1, torch.zeros_like(constant_B1)], dim=1), dim=1
        )


def flat_histories(
    histories: Sequence[History],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return item [P], age [P] and number of the history [P] of every item of every history."""
    of_P = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    items_P, ages_P = (
        np.concatenate([np.empty(0, np.int64), *parts])
        for parts in ([h.items for h in histories], [h.ages for h in histories])
    )
    return torch.from_numpy(items_P), torch.from_numpy(ages_P), torch.from_numpy(of_P)


class _Tower(nn.Module):
    """A linear map, normalised, and a network beside it that starts at zero."""

    def __init__(self, inputs: int, outputs: int, hidden: int) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(inputs, outputs), nn.LayerNorm(outputs)
        self.hidden, self.residual = nn.Linear(inputs, hidden), nn.Linear(hidden, outputs)
        nn.init.zeros_(self.residual.weight)
        nn.init.zeros_(self.residual.bias)

    def forward(self, inputs_NX: torch.Tensor) -> torch.Tensor:
        residual_NE: torch.Tensor = self.residual(functional.gelu(self.hidden(inputs_NX)))
        linear_NE: torch.Tensor = self.norm(self.linear(inputs_NX))
        return linear_NE + residual_NE
