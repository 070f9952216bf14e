"""Settings of the encoders, one model each: all that a person may choose, with its default.

``[cope]``, ``[learn]`` and ``[semantic_ids]`` of a configuration are these. What an encoder version
was trained with stands in its own ``config.json`` and ``metrics.json``.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

_STRICT = ConfigDict(extra="forbid")

Share = Annotated[float, Field(ge=0, le=1)]
Ridge = (
    NonNegativeFloat
    | Annotated[tuple[NonNegativeFloat, ...], Field(min_length=1)]
    | Literal["auto"]
)
# Of equals the first is taken.
_RIDGES = (0.03, 0.01, 0.003, 0.001)


@dataclass(frozen=True, config=_STRICT)
class CopeConfig:
    """COPE: backbones by name, size of the vector, training of the heads.

    Attributes:
        image_backbones: names of ``encoders/backbones/image.py``; two that err differently are
            worth more than one that is better.
        text_backbone: a name of ``encoders/backbones/text.py``.
        words_in_pictures: a name of ``encoders/backbones/picture_words.py``: what is printed in
            pictures is read too, which takes several times as long as the backbones.
        scenes: domains whose pictures show several products: parts of them have vectors of their
            own, and a picture takes ten times as long.
        dim: of the vectors.
        heads: those of COPE's paper are there to be compared with; the other settings of training
            are not theirs.
        held_out: share of SPUs kept for the test.
        split_seed: which SPUs these are. Encoders of one split can be held against each other, so
            it is not ``seed``.
        steps: of gradients, where they do not rank worse than the closed form.
        weight_decay: of the residual that is learned on the closed form, towards nothing.
        dropout: share of reduced features zeroed in training.
        modality_dropout: share of items that lose one of their two modalities in training.
    """

    image_backbones: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "efficientnet-lite0",
        "efficientnet-lite2",
    )
    text_backbone: str = "all-minilm-l6-v2"
    words_in_pictures: Literal["none", "pp-ocrv4"] = "none"
    scenes: tuple[Literal["page", "video", "live"], ...] = ()
    dim: PositiveInt = 128
    heads: Literal["shared_map", "published"] = "shared_map"
    steps: NonNegativeInt = 100
    batch_size: PositiveInt = 256
    learning_rate: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 1e-2
    temperature: PositiveFloat = 0.1
    label_smoothing: Share = 0.0
    cosface: bool = False
    held_out: Share = 0.25
    split_seed: NonNegativeInt = 0
    dropout: Share = 0.3
    modality_dropout: Share = 0.1
    seed: NonNegativeInt = 0


@dataclass(frozen=True, config=_STRICT)
class TuningConfig:
    """Tuning of an image backbone, end to end (``embedmill train backbone``).

    Attributes:
        base: name of the image backbone to start from.
        steps: of ``batch_size`` SPUs each, a picture of one item in each of their domains.
        processes: on this machine, each of which embeds a share of every batch.
    """

    base: str = "efficientnet-lite0"
    steps: PositiveInt = 120
    batch_size: PositiveInt = 32
    learning_rate: PositiveFloat = 1e-4
    weight_decay: NonNegativeFloat = 1e-2
    temperature: PositiveFloat = 0.1
    processes: PositiveInt = 1
    seed: NonNegativeInt = 0


@dataclass(frozen=True, config=_STRICT)
class LearnConfig:
    """LEARN: the frozen language model by name, sizes of the towers, their training.

    Attributes:
        language_model: a name of ``encoders/backbones/language_model.py``.
        language_model_layer: whose states are taken: from 1, or from the end; -1 is the last, after
            the norm. Layers after it are not computed.
        max_tokens: of a prompt; what is cut is the tail of the attributes, and counted.
        dim: of the vectors.
        hidden: width of the network inside a tower.
        factors: of behaviour, of each side.
        factor_shrinkage: the factors of an item of n events weigh n / (n + this): those of rare
            items are noise, and their text says more.
        max_history: a longer history loses its oldest events.
        whitened_width: most directions of the catalogue's contents that are kept.
        ridge: of the whitening, in units of the largest variance; of several, or ``auto``, the one
            is taken with which rules rank best for the users watched, before training.
        batch_size: histories that a step learns from, at most.
        candidates: items drawn beside those that were met next, as negatives, evenly from all that
            somebody met: others may not have been on sale yet.
        histories_per_user: cuts of a user's sequence that an epoch learns from, at most.
        rule_share: share of the label that comes from the best rule's ranking; the rest is what was
            met next.
        behaviour_dropout: share of items that a step of training reads as if nobody had met them,
            so that those without an event have a place in the space.
        watched_share: share of the events, the latest, that training watches and does not learn
            from until the number of epochs is chosen.
        max_watched: users; more would cost a large part of an epoch to rank for.
        patience: epochs without a better ranking before training stops.
        processes: on this machine, each of which learns from a share of every batch.
        threads: of a CPU, a process. Their number, and that of processes, changes the last bits.
    """

    language_model: str = "smollm2-135m"
    language_model_layer: int = -1
    max_tokens: PositiveInt = 128
    dim: PositiveInt = 64
    hidden: PositiveInt = 256
    factors: PositiveInt = 128
    factor_shrinkage: NonNegativeFloat = 10.0
    max_history: PositiveInt = 256
    whitened_width: PositiveInt = 1024
    ridge: Ridge = 0.03
    epochs: NonNegativeInt = 4
    batch_size: PositiveInt = 512
    candidates: PositiveInt = 1024
    histories_per_user: PositiveInt = 16
    learning_rate: PositiveFloat = 3e-3
    weight_decay: NonNegativeFloat = 1e-2
    rule_share: Share = 0.8
    behaviour_dropout: Share = 0.1
    watched_share: Share = 0.15
    max_watched: PositiveInt = 2_000
    patience: PositiveInt = 2
    processes: PositiveInt = 1
    threads: PositiveInt = 1
    seed: NonNegativeInt = 0

    @property
    def ridges(self) -> tuple[float, ...]:
        """Ridges to choose from; one where it is fixed."""
        if self.ridge == "auto":
            return _RIDGES
        return self.ridge if isinstance(self.ridge, tuple) else (self.ridge,)


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
