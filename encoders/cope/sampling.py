"""Sampling of training batches: pairs of items of one SPU, from different domains.

Shapes: N items, S SPUs, M domains, B rows, V parts of pictures, I image features.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from encoders.cope.items import Features

Split = Literal["train", "test"]
_SPARED = 5


@dataclass(frozen=True)
class Parts:
    """Parts of the pictures of scenes, which show several products.

    Attributes:
        image_VI: as ``Features.image_BI``.
        item_V: row of the item of each.
        part_V: which part of the pictures it is, from 0.
    """

    image_VI: torch.Tensor
    item_V: torch.Tensor
    part_V: torch.Tensor

    def of_backbone(self, widths: Sequence[int], place: int) -> "Parts":
        """Return the parts with the features of one of several image backbones."""
        image_VI = self.image_VI.split_with_sizes(list(widths), dim=1)[place]
        return Parts(image_VI, self.item_V, self.part_V)

    def where(self, chosen_N: torch.Tensor) -> "Parts":
        """Return the parts of the chosen items, by their rows among these."""
        at = torch.nonzero(chosen_N[self.item_V]).squeeze(1)
        rows_N = chosen_N.cumsum(0) - 1
        return Parts(self.image_VI[at], rows_N[self.item_V[at]], self.part_V[at])


@dataclass(frozen=True)
class CopeData:
    """Items that training learns from.

    Attributes:
        spu_N: row of each item's SPU in ``spu_ids``.
        parts: of the pictures of some items, which are found by them too; None where not read.
    """

    items: Features
    spu_N: torch.Tensor
    spu_ids: Sequence[str]
    parts: Parts | None = None

    def of(self, split: Split, *, held_out: float, seed: int) -> "CopeData":
        """Return the items whose SPU is in a split."""
        chosen = [split_of(spu, held_out=held_out, seed=seed) == split for spu in self.spu_ids]
        return self.where(torch.tensor(chosen, dtype=torch.bool)[self.spu_N])

    def where(self, chosen_N: torch.Tensor) -> "CopeData":
        """Return the chosen items."""
        rows = torch.nonzero(chosen_N).squeeze(1)
        parts = None if self.parts is None else self.parts.where(chosen_N)
        return CopeData(self.items[rows], self.spu_N[rows], self.spu_ids, parts)


def split_of(spu_id: str, *, held_out: float, seed: int) -> Split:
    """Return what an SPU is used for: the same whatever other SPUs there are, and in every run."""
    return "test" if _place(f"{seed}|{spu_id}") < held_out else "train"


def folds_of(spu_ids: Sequence[str], folds: int) -> torch.Tensor:
    """Return the fold of each SPU [S]: the same whatever other SPUs there are, and in every run."""
    return torch.tensor([int(folds * _place(f"fold|{spu_id}")) for spu_id in spu_ids])


def drawn(spu_ids: Sequence[str], share: float) -> torch.Tensor:
    """Return which SPUs a sample of a share of them has [S]: those of a smaller one among them."""
    return torch.tensor([_place(f"sample|{spu_id}") < share for spu_id in spu_ids])


def spare_items(data: CopeData) -> torch.Tensor:
    """Return one in five of an SPU's items in a domain, and never the only one [N].

    They say how well the SPUs that a map is made from are found, where it is made without them.
    """
    key_N = data.spu_N * (int(data.items.domain_B.max()) + 1) + data.items.domain_B
    order_N = torch.argsort(key_N, stable=True)
    counts = key_N.bincount()
    starts = counts.cumsum(0) - counts
    place_N = torch.empty_like(key_N)
    place_N[order_N] = torch.arange(len(key_N)) - starts[key_N[order_N]]
    return place_N % _SPARED == 1


def _place(text: str) -> float:
    """Return a number in [0, 1) that follows from a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


@dataclass(frozen=True)
class Pair:
    """Items whose SPUs are the same, row by row, and differ between rows."""

    left_B: torch.Tensor
    right_B: torch.Tensor


class PairSampler:
    """Draws a random item of each domain of an SPU; an SPU of one domain gives two of its items."""

    def __init__(self, data: CopeData, domains: int) -> None:
        key_N = data.spu_N * domains + data.items.domain_B
        self._items_N = torch.argsort(key_N, stable=True)
        size = len(data.spu_ids) * domains
        self._counts_SM = key_N.bincount(minlength=size).reshape(-1, domains)
        ends = self._counts_SM.reshape(-1).cumsum(0)
        self._starts_SM = (ends - self._counts_SM.reshape(-1)).reshape(-1, domains)
        domains_S = (self._counts_SM > 0).sum(dim=1)
        self._one_domain_S = domains_S == 1
        self.eligible = torch.nonzero((domains_S > 1) | (self._counts_SM.max(dim=1).values > 1))
        self.eligible = self.eligible.squeeze(1)

    @property
    def trained_domains(self) -> list[int]:
        """Domains that have a pair to learn from."""
        its_SM = self._counts_SM[self.eligible]
        return torch.nonzero(its_SM.sum(dim=0) > 0).squeeze(1).tolist()

    def epoch(self, batch_size: int, generator: torch.Generator) -> Iterator[list[Pair]]:
        """Yield batches over every SPU, each as one pair of sides a pair of domains.

        An epoch passes over the SPUs as often as they have items in a domain, up to four times.
        """
        items_a_domain = self._counts_SM[self.eligible].float()
        rounds = int(items_a_domain[items_a_domain > 0].mean().clamp(1, 4).round())
        for _ in range(rounds):
            order = torch.randperm(len(self.eligible), generator=generator)
            for start in range(0, len(order), batch_size):
                yield self._pairs(self.eligible[order[start : start + batch_size]], generator)

    def _pairs(self, spus_B: torch.Tensor, generator: torch.Generator) -> list[Pair]:
        counts_BM, starts_BM = self._counts_SM[spus_B], self._starts_SM[spus_B]
        first_BM = _below(counts_BM, generator)
        other_BM = (first_BM + 1 + _below(counts_BM - 1, generator)) % counts_BM.clamp(min=1)
        there_BM, alone_B = counts_BM > 0, self._one_domain_S[spus_B]
        pairs = []
        for left in range(counts_BM.shape[1]):
            for right in range(left, counts_BM.shape[1]):
                both_B = there_BM[:, left] & there_BM[:, right] & (alone_B == (left == right))
                if both_B.sum() > 1:
                    left_B = starts_BM[both_B, left] + first_BM[both_B, left]
                    chosen_BM = other_BM if left == right else first_BM
                    right_B = starts_BM[both_B, right] + chosen_BM[both_B, right]
                    pairs.append(Pair(self._items_N[left_B], self._items_N[right_B]))
        return pairs


def _below(limits: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return random whole numbers, each below its limit; 0 where the limit is 0."""
    return (torch.rand(limits.shape, generator=generator) * limits).long().clamp(min=0)
