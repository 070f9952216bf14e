"""Scenes in training: which part of a picture of several products shows the one of its SPU.

Learned from whole pictures, a map ranks scenes worse than the backbones do: most of what they show
is of other products. So training reads of each scene the part that is nearest to the other items of
its SPU, as multiple-instance learning does (Andrews et al., NIPS 2002).

Shapes: N items, V parts of pictures, P vectors of an item, D numbers, S SPUs.
"""

from collections.abc import Callable
from dataclasses import replace

import torch

from encoders.cope.evaluation import item_vectors
from encoders.cope.items import Features, unit
from encoders.cope.sampling import CopeData


def shown_parts(data: CopeData, vectors: Callable[[Features], torch.Tensor]) -> CopeData:
    """Return the items with the features of one part where they are scenes, and no parts.

    It is the part nearest to the mean of the SPU's items that are no scenes, by ``vectors``; a
    scene stays whole where the whole is nearest, and where its SPU has no such items.
    """
    parts = data.parts
    if parts is None:
        return data
    emb_NPD = item_vectors(vectors, data)
    is_scene_N = torch.zeros(len(data.items), dtype=torch.bool)
    is_scene_N[parts.item_V] = True
    is_anchor_N = ~is_scene_N & ~emb_NPD[:, 0].isnan().any(dim=1)
    total_SD = emb_NPD.new_zeros(len(data.spu_ids), emb_NPD.shape[2])
    total_SD.index_add_(0, data.spu_N[is_anchor_N], emb_NPD[is_anchor_N, 0])
    nearness_NP = (emb_NPD * unit(total_SD)[data.spu_N].unsqueeze(1)).sum(dim=2)
    # Of equals the first is taken: the whole.
    best_N = nearness_NP.nan_to_num(nan=-torch.inf).argmax(dim=1)
    is_best_V = best_N[parts.item_V] == 1 + parts.part_V
    image_NI = data.items.image_BI.clone()
    image_NI[parts.item_V[is_best_V]] = parts.image_VI[is_best_V]
    return replace(data, items=replace(data.items, image_BI=image_NI), parts=None)
