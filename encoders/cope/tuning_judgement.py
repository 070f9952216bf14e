"""Judgement of image backbones: how well their features alone find an item's SPU across domains.

Shapes: N items, I image features.
"""

from collections.abc import Mapping

import torch

from encoders.backbones.image import ImageBackbone
from encoders.cope.discriminant import domain_means
from encoders.cope.evaluation import directions, mean_of, means
from encoders.cope.items import unit
from encoders.cope.picture_features import PictureFeatures
from encoders.cope.preprocessing import Limits
from encoders.cope.tuning import PicturedItems

MEAN = "mean R@1"


def ranking(backbone: ImageBackbone, items: PicturedItems) -> Mapping[str, float]:
    """Return R@1 by features of unit norm, centred by domain: of each direction, and their mean.

    Empty where no item has another one of its SPU to find.
    """
    domains = [items.domains[row] for row in items.domain_N.tolist()]
    encoded = PictureFeatures([backbone], Limits()).encode(domains, items.pictures)
    image_NI = torch.from_numpy(encoded.features_BD)
    mean_MI = domain_means(
        image_NI, items.domain_N, torch.zeros(len(items.domains), image_NI.shape[1])
    )
    emb_NI = unit(unit(image_NI) - mean_MI[items.domain_N])
    found = directions(emb_NI, items.data, items.domains)
    if not found:
        return {}
    by_direction = {f"{name} R@1": figures["R@1"] for name, figures in means(found).items()}
    return {MEAN: mean_of(found, "R@1"), **by_direction}
