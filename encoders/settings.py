"""Settings of the encoders, one model each: all that a person may choose, with its default.

``[cope]``, ``[learn]`` and ``[semantic_ids]`` of a configuration are these. What an encoder version
was trained with stands in its own ``config.json`` and ``metrics.json``.
"""

from typing import Annotated, Literal, get_args

from pydantic import ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

_STRICT = ConfigDict(extra="forbid")

Share = Annotated[float, Field(ge=0, le=1)]
ItemTower = Literal["shared_causal", "shared_single", "content"]
ITEM_TOWERS: tuple[str, ...] = get_args(ItemTower)


@dataclass(frozen=True, config=_STRICT)
class CopeConfig:
    """COPE: backbones by name, size of the vector, training of the heads.

    Attributes:
        image_backbone: a name of ``encoders/backbones/image.py``.
        text_backbone: a name of ``encoders/backbones/text.py``.
        dim: of the vectors.
        held_out: share of SPUs kept for the test.
        split_seed: which SPUs these are. Encoders of one split can be held against each other, so
            it is not ``seed``.
        patience: epochs without a better validation figure before training stops.
        dropout: share of features zeroed in training.
        modality_dropout: share of items that lose one of their two modalities in training.
    """

    image_backbone: str = "efficientnet-lite0"
    text_backbone: str = "all-minilm-l6-v2"
    dim: PositiveInt = 128
    epochs: NonNegativeInt = 40
    batch_size: PositiveInt = 256
    learning_rate: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 1e-2
    temperature: PositiveFloat = 0.1
    label_smoothing: Share = 0.0
    cosface: bool = False
    held_out: Share = 0.25
    split_seed: NonNegativeInt = 0
    patience: PositiveInt = 8
    dropout: Share = 0.1
    modality_dropout: Share = 0.1
    seed: NonNegativeInt = 0

    @property
    def raw_dim(self) -> int:
        """Numbers of the vector that are the raw part."""
        return self.dim // 2


@dataclass(frozen=True, config=_STRICT)
class LearnConfig:
    """LEARN: the frozen language model by name, sizes of the towers, their training.

    Attributes:
        language_model: a name of ``encoders/backbones/language_model.py``.
        dim: of the vectors.
        width: of the transformer.
        max_history: a longer history loses its oldest events.
        max_target: events after the cut that count as target.
        sampled_positions: of each history and each target.
        item_tower: ``shared_causal``: the user's weights, over the sequence of targets in
            training, one item at a time in use. ``shared_single``: one at a time always.
            ``content``: whitened content as it is.
        positions: learn an embedding of the position; without, the causal mask alone carries order.
        whitened_width: most directions of the catalogue that are kept.
        recency: sample positions by recency weight; evenly without.
        ridge: of the whitening, in units of the largest variance.
        validation_share: of users, not learned from but watched, to choose the epoch by.
        max_watched: users; more would cost a large part of an epoch to rank for.
        patience: epochs without a better ranking before training stops.
        threads: of a CPU. Towers of this size are no faster with two, and a hundred times slower
            where another process wants the second core. Their number changes the last bits.
    """

    language_model: str = "smollm2-135m"
    dim: PositiveInt = 64
    width: PositiveInt = 64
    layers: PositiveInt = 2
    heads: PositiveInt = 4
    max_history: PositiveInt = 80
    max_target: PositiveInt = 40
    sampled_positions: PositiveInt = 10
    epochs: NonNegativeInt = 10
    batch_size: PositiveInt = 64
    learning_rate: PositiveFloat = 3e-3
    weight_decay: NonNegativeFloat = 1e-2
    temperature: PositiveFloat = 0.05
    item_tower: ItemTower = "shared_causal"
    positions: bool = False
    whitened_width: PositiveInt = 256
    recency: bool = True
    ridge: NonNegativeFloat = 0.03
    validation_share: Share = 0.1
    max_watched: PositiveInt = 2_000
    patience: PositiveInt = 4
    threads: PositiveInt = 1
    seed: NonNegativeInt = 0


@dataclass(frozen=True, config=_STRICT)
class SemanticIdConfig:
    """Residual k-means codebooks.

    Attributes:
        codebook_size: codes a level; doubled until a catalogue has eight triples an SPU.
        aligned_to: codebooks whose codes the new ones keep the numbers of: an encoder version,
            ``live`` for those of the live release where there is one, or ``none``.
    """

    codebook_size: PositiveInt = 32
    aligned_to: str = "live"
    seed: NonNegativeInt = 0
