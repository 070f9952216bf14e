"""Discriminant analysis: COPE's shared map in closed form, before a single gradient.

What differs between items of one product (light, angle, background, the domain itself) is as loud
in the backbones' features as what differs between products. So the scatter within SPUs is whitened
first (shrunk towards a multiple of the identity: there are fewer SPUs than features), then PCA
(Fisher, 1936; Fukunaga, 1990, chapter 10). Pictures and text are analysed together, and where one
side of a product has no text, the text itself is such a difference.

Shapes: N items, F features, P reduced features, L dimensions kept, S SPUs, G groups of one SPU and
domain.
"""

from collections.abc import Sequence

import torch
from torch.nn import functional

from encoders.cope.items import MISSING_BELOW

# Share of the identity in the within-SPU scatter; see docs/results/2026-12-01-cope-quality.md. Of
# few SPUs the scatter is mostly chance, and their own differences in it.
SHRINKAGE = 0.25
_FEW_SPUS = 10
_MOST_SHRINKAGE = 0.9
# Principal directions of each backbone that the analysis is done in; what lies past them is noise.
PRINCIPAL = 256


def reducing_basis(directions_NX: torch.Tensor, widths: Sequence[int]) -> torch.Tensor:
    """Return the principal directions of each backbone's part, side by side [X, P].

    Args:
        widths: of the parts.
    """
    parts = directions_NX.double().split_with_sizes(list(widths), dim=1)
    bases = [principal_directions(part, min(PRINCIPAL, part.shape[1])) for part in parts]
    basis_XP: torch.Tensor = torch.block_diag(*bases)  # type: ignore[no-untyped-call]
    return basis_XP


def domain_means(
    features_NF: torch.Tensor, domain_N: torch.Tensor, like_DF: torch.Tensor
) -> torch.Tensor:
    """Return the centre of unit features by domain.

    A domain of fewer than two items, which would be its own centre, has that of all items.
    """
    unit_NF = functional.normalize(features_NF, dim=1)
    there = ~unit_NF[:, 0].isnan()
    means_DF = torch.zeros_like(like_DF)
    if there.sum() > 1:
        means_DF[:] = _centre(unit_NF[there])
    for domain in range(len(means_DF)):
        of_domain_N = there & (domain_N == domain)
        if of_domain_N.sum() > 1:
            means_DF[domain] = _centre(unit_NF[of_domain_N])
    return means_DF


def _centre(unit_NF: torch.Tensor) -> torch.Tensor:
    """Return the mean, or the one content that most items share.

    Off a mean that few others have moved, equal contents would all lie on one side: a direction of
    length 1 that says nothing of them. Where most are equal, so is the median of each feature.
    """
    median_F = unit_NF.median(dim=0).values
    shares_it = (unit_NF - median_F).norm(dim=1) < MISSING_BELOW
    return median_F if shares_it.float().mean() > 0.5 else unit_NF.mean(dim=0)


def principal_directions(features_NF: torch.Tensor, dims: int) -> torch.Tensor:
    """Return the directions of most variance around zero [F, L]; zeros past the features' rank."""
    scatter_FF = features_NF.T @ features_NF / max(1, len(features_NF))
    values_F, vectors_FF = torch.linalg.eigh(scatter_FF)
    kept = values_F.flip(0)[:dims] > 1e-10
    directions_FL = vectors_FF.flip(1)[:, :dims] * kept
    signs_L = torch.where(directions_FL.sum(dim=0) < 0, -1.0, 1.0)  # eigh leaves the sign open
    directions_FL = directions_FL * signs_L
    return functional.pad(directions_FL, (0, dims - directions_FL.shape[1]))


def discriminant_directions(
    features_NF: torch.Tensor, spu_N: torch.Tensor, domain_N: torch.Tensor, dims: int
) -> torch.Tensor:
    """Return the directions in which SPUs differ and items of one SPU do not [F, L]."""
    within_FF = within_scatter(features_NF, spu_N, domain_N)
    size = within_FF.trace() / len(within_FF)
    if size <= 0:
        return principal_directions(features_NF, dims)
    identity_FF = torch.eye(len(within_FF), dtype=within_FF.dtype)
    shrinkage = shrinkage_of(int((spu_N.bincount() > 1).sum()))
    values_F, vectors_FF = torch.linalg.eigh(
        (1 - shrinkage) * within_FF + shrinkage * size * identity_FF
    )
    whitening_FF = (vectors_FF * (size / values_F).sqrt()) @ vectors_FF.T
    whitened_NF = functional.normalize(features_NF @ whitening_FF, dim=1)
    directions_FL: torch.Tensor = whitening_FF @ principal_directions(whitened_NF, dims)
    return directions_FL


def shrinkage_of(spus: int) -> float:
    """Return the share of the identity in the scatter within so many SPUs."""
    return max(SHRINKAGE, min(_MOST_SHRINKAGE, _FEW_SPUS / max(spus, 1)))


def within_scatter(
    features_NF: torch.Tensor, spu_N: torch.Tensor, domain_N: torch.Tensor
) -> torch.Tensor:
    """Return the mean scatter of items around their SPU's centre, [F, F].

    The centre is the mean of the SPU's domains, each domain and each SPU weighs the same; zeros
    where no SPU has two items.
    """
    domains = int(domain_N.max()) + 1 if len(domain_N) else 1
    key_G, group_N = _distinct(spu_N * domains + domain_N)
    spus_S, spu_G = _distinct(key_G // domains)
    centre_SF = _means(_means(features_NF, group_N, len(key_G)), spu_G, len(spus_S))
    difference_NF = features_NF - centre_SF[spu_G[group_N]]
    weight_N = 1 / (group_N.bincount()[group_N] * spu_G.bincount()[spu_G[group_N]])
    shared = (spu_G[group_N].bincount() > 1).sum().clamp(min=1)
    weighted_NF = difference_NF * weight_N.unsqueeze(1)
    scatter_FF: torch.Tensor = weighted_NF.T @ difference_NF / shared
    return scatter_FF


def _means(x_NF: torch.Tensor, group_N: torch.Tensor, groups: int) -> torch.Tensor:
    total_GF = torch.zeros(groups, x_NF.shape[1], dtype=x_NF.dtype).index_add_(0, group_N, x_NF)
    return total_GF / group_N.bincount(minlength=groups).unsqueeze(1)


def _distinct(keys: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the distinct keys in order, and the place of each key among them."""
    distinct, place = torch.unique(keys, return_inverse=True)
    return distinct, place
