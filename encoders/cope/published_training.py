"""Training of the published heads, with the losses and the schedule of COPE's paper.

Bai et al., ICCV 2023, section 3.3: symmetric InfoNCE over pairs of domains and between titles and
the other domains, CosFace over SPUs. AdamW with a warm-up and a cosine, gradients clipped. The
backbones are frozen here, so the learning rate is that of the released code's heads.

Shapes: N items, B items of a batch, I image features, T text features, D numbers, S SPUs.
"""

import math
from collections.abc import Sequence
from itertools import islice

import torch

from encoders.cope.losses import cosface, info_nce
from encoders.cope.published_heads import PublishedConfig, PublishedHeads
from encoders.cope.sampling import CopeData, Pair, PairSampler
from encoders.cope.shared_map import SharedMap, SharedMapConfig
from encoders.settings import CopeConfig

_STEPS = 300
_WARM_UP = 30
_LEARNING_RATE = 5e-3
_MAX_NORM = 5.0
_TEMPERATURE = 0.05
_LABEL_SMOOTHING = 0.1


def train_published(centred: SharedMap, data: CopeData, config: CopeConfig) -> PublishedHeads:
    """Return heads trained on items; the same items, settings and seed give the same heads.

    They stay as they were drawn where no two SPUs have a pair to learn from.

    Args:
        centred: of which the sizes and the centres of the domains are taken.
    """
    sampler = PairSampler(data, len(centred.config.domains))
    has_pairs = len(sampler.eligible) > 1
    trained = sampler.trained_domains if has_pairs else []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        heads = PublishedHeads(_sizes(centred.config, trained))
    heads.image_mean_NI.copy_(centred.image_mean_NI)
    heads.text_mean_NT.copy_(centred.text_mean_NT)
    if has_pairs:
        _train(heads, data, config)
    return heads.eval()


def _sizes(config: SharedMapConfig, trained: Sequence[int]) -> PublishedConfig:
    return PublishedConfig(
        image_widths=config.image_widths,
        text_width=config.text_width,
        dim=config.dim,
        words_width=config.words_width,
        domains=config.domains,
        trained=tuple(config.domains[row] for row in trained),
    )


def _train(heads: PublishedHeads, data: CopeData, config: CopeConfig) -> None:
    with torch.no_grad():
        is_there_N = ~heads(data.items).isnan().any(dim=1)
    data = data.where(is_there_N)
    sampler = PairSampler(data, len(heads.config.domains))
    generator = torch.Generator().manual_seed(config.seed)
    with torch.no_grad():
        features = heads.centred(data.items)
    classes_SD = torch.nn.Parameter(
        torch.randn(len(data.spu_ids), heads.config.dim, generator=generator)
    )
    parameters = [*heads.parameters(), classes_SD]
    optimiser = torch.optim.AdamW(parameters, lr=_LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _rate)
    epochs = (sampler.epoch(config.batch_size, generator) for _ in range(_STEPS))
    for pairs in islice((batch for epoch in epochs for batch in epoch if batch), _STEPS):
        optimiser.zero_grad()
        _loss(heads, data, features, pairs, classes_SD).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, _MAX_NORM)
        optimiser.step()
        schedule.step()


def _rate(step: int) -> float:
    """Return the share of the learning rate at a step."""
    if step < _WARM_UP:
        return (step + 1) / _WARM_UP
    return (1 + math.cos(math.pi * (step - _WARM_UP) / (_STEPS - _WARM_UP))) / 2


def _loss(
    heads: PublishedHeads,
    data: CopeData,
    features: tuple[torch.Tensor, torch.Tensor],
    pairs: Sequence[Pair],
    classes_SD: torch.Tensor,
) -> torch.Tensor:
    """Return the mean loss of pairs, weighted by their rows."""
    image_NI, text_NT = features
    domain_N = data.items.domain_B
    total, rows = torch.zeros(()), 0
    for pair in pairs:
        left_BD, right_BD = (
            heads.fused(domain_N[side], image_NI[side], text_NT[side])
            for side in (pair.left_B, pair.right_B)
        )
        loss = _contrastive(left_BD, right_BD)
        for side, emb_BD in ((pair.left_B, left_BD), (pair.right_B, right_BD)):
            loss = loss + cosface(emb_BD, data.spu_N[side], classes_SD) / 2
        # The left side is that of the page, where a pair has one.
        has_title_B = (text_NT[pair.left_B] != 0).any(dim=1)
        if has_title_B.sum() > 1:
            titled = pair.left_B[has_title_B]
            title_BD = heads.fused(
                domain_N[titled], torch.zeros_like(image_NI[titled]), text_NT[titled]
            )
            loss = loss + _contrastive(title_BD, right_BD[has_title_B])
        total, rows = total + loss * len(pair.left_B), rows + len(pair.left_B)
    return total / rows


def _contrastive(left_BD: torch.Tensor, right_BD: torch.Tensor) -> torch.Tensor:
    return info_nce(left_BD, right_BD, temperature=_TEMPERATURE, label_smoothing=_LABEL_SMOOTHING)
