"""COPE heads: from the features of the frozen backbones to one comparable vector of an item.

After COPE (Bai et al., ICCV 2023, section 3): a fusion head over both modalities, L2 norm. Two
changes keep it good on products that training never saw. The backbones' geometry stays: the image
map and the text map are shared by the domains and start where ``initialization.py`` puts them;
domains differ by their centre and a low-rank correction. And part of the vector is raw: features,
centred by domain, reduced by PCA. Where a domain was never trained, its vectors are the raw part
alone.

Shapes: B items, N domains, I image features, T text features, R raw part, L learned part, K rank,
D = R + L, X = I + T.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from encoders.artifacts import Artifact, InvalidArtifact
from encoders.protocol import Batch, Encoded
from encoders.settings import CopeConfig
from encoders.spaces.rotation import weights

KIND = "cope"

# How far from its domain's centre a modality of unit norm must lie to say anything of its item.
# Equal contents leave rounding, up to 4e-5 for the title of 5,421 photos; contents that differ lie
# .66 and more from their domain's centre (grocery_store).
MISSING_BELOW = 1e-3


@dataclass(frozen=True)
class HeadsConfig:
    """Sizes of the heads.

    Attributes:
        raw_dim: how many of the ``dim`` numbers are the raw part.
        rank: of each domain's own correction.
        missing_below: a modality nearer than this to its domain's centre is missing: it says
            nothing of the item. 0 in encoders saved before December 2026, which keep their vectors.
        domains: all that can be encoded, in the order of the weights' rows.
    """

    image_width: int
    text_width: int
    dim: int = CopeConfig().dim
    raw_dim: int = CopeConfig().raw_dim
    rank: int = 4
    missing_below: float = MISSING_BELOW
    domains: tuple[str, ...] = ("page", "video", "live")

    @property
    def learned_dim(self) -> int:
        return self.dim - self.raw_dim


@dataclass(frozen=True)
class Features:
    """Backbone features of items; NaN rows where a modality is missing.

    Attributes:
        domain_B: row of each item's domain.
        image_BI: as the image backbone gave them.
        text_BT: as the text backbone gave them.
    """

    domain_B: torch.Tensor
    image_BI: torch.Tensor
    text_BT: torch.Tensor

    def __len__(self) -> int:
        return len(self.domain_B)

    def __getitem__(self, rows: torch.Tensor) -> "Features":
        return Features(self.domain_B[rows], self.image_BI[rows], self.text_BT[rows])

    @property
    def present(self) -> torch.Tensor:
        """True where at least one modality is there."""
        return ~(self.image_BI[:, 0].isnan() & self.text_BT[:, 0].isnan())


class CopeHeads(nn.Module):
    """The trainable part of COPE."""

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__()
        self.config = config
        n, learned, rank = len(config.domains), config.learned_dim, config.rank
        self.image_mean_NI: torch.Tensor
        self.text_mean_NT: torch.Tensor
        self.raw_XR: torch.Tensor
        self.share_N: torch.Tensor
        self.register_buffer("image_mean_NI", torch.zeros(n, config.image_width))
        self.register_buffer("text_mean_NT", torch.zeros(n, config.text_width))
        width = config.image_width + config.text_width
        self.register_buffer("raw_XR", torch.zeros(width, config.raw_dim))
        # Share of the squared norm that the learned part has, by domain; 0 until the domain is
        # trained.
        self.register_buffer("share_N", torch.zeros(n))
        self.image_map_IL = nn.Parameter(torch.zeros(config.image_width, learned))
        self.text_map_TL = nn.Parameter(torch.zeros(config.text_width, learned))
        self.no_image_NL = nn.Parameter(torch.zeros(n, learned))
        self.no_text_NL = nn.Parameter(torch.zeros(n, learned))
        self.log_gain_N2 = nn.Parameter(torch.zeros(n, 2))
        self.down_NLK = nn.Parameter(torch.randn(n, learned, rank) / learned**0.5)
        self.up_NKL = nn.Parameter(torch.zeros(n, rank, learned))
        self.shift_NL = nn.Parameter(torch.zeros(n, learned))

    def centred(self, items: Features) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both modalities as directions from their domain's mean; zeros where missing."""
        image_BI = _unit(items.image_BI) - self.image_mean_NI[items.domain_B]
        text_BT = _unit(items.text_BT) - self.text_mean_NT[items.domain_B]
        return self._directions(image_BI), self._directions(text_BT)

    def _directions(self, difference_BF: torch.Tensor) -> torch.Tensor:
        # Not below: NaN is missing too.
        there_B1 = difference_BF.norm(dim=1, keepdim=True) >= self.config.missing_below
        return _unit(difference_BF).where(there_B1, 0.0)

    def informative(self, items: Features) -> Features:
        """Return items without the modalities that say nothing of them: those are NaN."""
        image_BI, text_BT = (_is_missing(part) for part in self.centred(items))
        return Features(
            items.domain_B,
            items.image_BI.masked_fill(image_BI, torch.nan),
            items.text_BT.masked_fill(text_BT, torch.nan),
        )

    def raw(self, image_BI: torch.Tensor, text_BT: torch.Tensor) -> torch.Tensor:
        """Return the raw part of centred features, unit norm [B, R]."""
        return _unit(torch.cat((image_BI, text_BT), dim=1) @ self.raw_XR)

    def learned(
        self, domain_B: torch.Tensor, image_BI: torch.Tensor, text_BT: torch.Tensor
    ) -> torch.Tensor:
        """Return the learned part of centred features, unit norm [B, L]."""
        gain_B2 = self.log_gain_N2.exp()[domain_B]
        no_image_B1, no_text_B1 = _is_missing(image_BI), _is_missing(text_BT)
        image_BL = gain_B2[:, :1] * _unit(image_BI @ self.image_map_IL)
        text_BL = gain_B2[:, 1:] * _unit(text_BT @ self.text_map_TL)
        fused_BL = torch.where(no_image_B1, self.no_image_NL[domain_B], image_BL)
        fused_BL = fused_BL + torch.where(no_text_B1, self.no_text_NL[domain_B], text_BL)
        low_B1K = fused_BL.unsqueeze(1) @ self.down_NLK[domain_B]
        correction_BL = (low_B1K @ self.up_NKL[domain_B]).squeeze(1)
        return _unit(fused_BL + correction_BL + self.shift_NL[domain_B])

    def forward(self, items: Features) -> torch.Tensor:
        """Return the vectors of items, unit norm [B, D]; NaN where both modalities are missing."""
        image_BI, text_BT = self.centred(items)
        missing_B1 = _is_missing(image_BI) & _is_missing(text_BT)
        share_B1 = self.share_N[items.domain_B].unsqueeze(1)
        raw_BR = (1 - share_B1).sqrt() * self.raw(image_BI, text_BT)
        learned_BL = share_B1.sqrt() * self.learned(items.domain_B, image_BI, text_BT)
        emb_BD = _unit(torch.cat((raw_BR, learned_BL), dim=1))
        return emb_BD.masked_fill(missing_B1, torch.nan)


def _is_missing(centred_BF: torch.Tensor) -> torch.Tensor:
    return (centred_BF == 0).all(dim=1, keepdim=True)


def _unit(x: torch.Tensor) -> torch.Tensor:
    return functional.normalize(x, dim=1)


def heads_artifact(
    heads: CopeHeads, features_version: str, metrics: Mapping[str, object]
) -> Artifact:
    """Return the encoder version of trained heads.

    Args:
        features_version: of the ``cope_features`` encoder whose features the heads read.
    """
    trained = [
        name
        for name, share in zip(heads.config.domains, heads.share_N.tolist(), strict=True)
        if share > 0
    ]
    domains = ", ".join(trained) or "no domain: raw features alone"
    return Artifact(
        name=KIND,
        config={"kind": KIND, "features": features_version, "heads": asdict(heads.config)},
        preprocessing={"normalize": "l2", "centre": "domain mean", "trained_domains": trained},
        tensors={name: tensor.detach().cpu() for name, tensor in heads.state_dict().items()},
        metrics=metrics,
        description=f"COPE heads over {features_version}, trained on {domains}.",
    )


def artifact_heads(artifact: Artifact) -> CopeHeads:
    """Return trained heads; a rotation of the version is left out.

    Raises:
        InvalidArtifact: the weights do not fit the sizes that the config gives.
    """
    given = artifact.config.get("heads")
    if not isinstance(given, dict):
        raise InvalidArtifact(f"encoder {artifact.version}: config.json should give heads.")
    # A vector never changes under its version: encoders saved without the rule go on without it.
    sizes: dict[str, Any] = {
        "missing_below": 0.0,
        **given,
        "domains": tuple(given.get("domains", ())),
    }
    try:
        heads = CopeHeads(HeadsConfig(**sizes))
        heads.load_state_dict(weights(artifact))
    except (TypeError, RuntimeError) as error:
        message = f"encoder {artifact.version}: weights and config do not fit: {error}"
        raise InvalidArtifact(message) from error
    return heads.eval()


def load_heads(artifact: Artifact) -> "CopeEncoder":
    """Load trained heads as an encoder.

    Raises:
        InvalidArtifact: the weights do not fit the sizes that the config gives.
    """
    return CopeEncoder(artifact.version, artifact_heads(artifact))


class CopeEncoder:
    """The ``cope`` encoder; see ``encoders/protocol.py``.

    Computes in float64: the heads cost nothing beside the backbones, and a vector that comes out
    the same to the last bit in every batch is no false change of the item.
    """

    inputs = ("domain", "image_features", "text_features")

    def __init__(self, version: str, heads: CopeHeads) -> None:
        self._version = version
        self._heads = heads.double().eval().requires_grad_(False)
        self._domains = {name: row for row, name in enumerate(heads.config.domains)}

    @property
    def version(self) -> str:
        return self._version

    @property
    def outputs(self) -> Mapping[str, int]:
        return {"embedding": self._heads.config.dim}

    def length(self, row: Mapping[str, object]) -> int:
        return 1

    def encode(self, batch: Batch) -> Encoded:
        """Encode items; NaN where both modalities are missing.

        Raises:
            ValueError: a domain that the heads do not know.
        """
        config = self._heads.config
        items = Features(
            torch.tensor([self._row_of(domain) for domain in batch["domain"]], dtype=torch.long),
            torch.from_numpy(_filled(batch["image_features"], config.image_width)),
            torch.from_numpy(_filled(batch["text_features"], config.text_width)),
        )
        with torch.inference_mode():
            emb_BD = self._heads(items)
        return Encoded({"embedding": emb_BD.numpy().astype(np.float32)})

    def _row_of(self, domain: object) -> int:
        if domain not in self._domains:
            raise ValueError(f"domain should be one of {list(self._domains)}, but is {domain!r}.")
        return self._domains[str(domain)]


def _filled(vectors: Sequence[object], width: int) -> NDArray[np.float64]:
    """Return vectors as one matrix, NaN where there is none."""
    matrix = np.full((len(vectors), width), np.nan)
    for row, vector in enumerate(vectors):
        if vector is not None:
            matrix[row] = vector
    return matrix
