"""Towers: LEARN's networks, from the contents a user has met, or from one content, to a vector.

After LEARN (Jia et al., AAAI 2025, section 3.3): an adaptor, a causal transformer, a projection, L2
norm; a user is the last position of the history. The towers start as a neighbour rule that
training then betters: contents are whitened with the catalogue's own statistics, adaptor and
projection start as the identity, residual branches at zero.

Shapes: B rows, T positions, C content width, K whitened width, W width of the transformer,
D dimension, N contents.
"""

from dataclasses import dataclass, fields

import torch
from torch import nn
from torch.nn import functional

from encoders.settings import ITEM_TOWERS, ItemTower, LearnConfig

_DEFAULTS = LearnConfig()


@dataclass(frozen=True)
class TowerConfig:
    """Sizes of the towers, as an encoder's ``config.json`` has them; see ``LearnConfig``.

    Attributes:
        content_width: C, of the language model's states.
        whitened_width: K, leading directions of the catalogue that are kept.
        dim: D.
        width: W.
    """

    content_width: int
    whitened_width: int
    dim: int = _DEFAULTS.dim
    width: int = _DEFAULTS.width
    layers: int = _DEFAULTS.layers
    heads: int = _DEFAULTS.heads
    max_history: int = _DEFAULTS.max_history
    positions: bool = _DEFAULTS.positions
    item_tower: ItemTower = _DEFAULTS.item_tower

    def __post_init__(self) -> None:
        problems = []
        if self.width % self.heads:
            problems.append(f"width {self.width} should be a multiple of heads {self.heads}")
        if self.item_tower not in ITEM_TOWERS:
            problems.append(
                f"item_tower should be one of {ITEM_TOWERS}, but is {self.item_tower!r}"
            )
        if self.whitened_width > self.content_width:
            problems.append(
                f"whitened_width {self.whitened_width} is over content_width {self.content_width}"
            )
        if problems:
            raise ValueError(f"LEARN's towers cannot be built: {'; '.join(problems)}.")


def tower_config(settings: LearnConfig, content_width: int) -> TowerConfig:
    """Return the sizes that settings give over contents of some width.

    Raises:
        ValueError: towers of these sizes cannot be built.
    """
    names = [each.name for each in fields(TowerConfig) if each.name != "content_width"]
    sizes = {name: getattr(settings, name) for name in names}
    sizes["whitened_width"] = min(content_width, settings.whitened_width)
    return TowerConfig(content_width, **sizes)


@dataclass(frozen=True)
class Whitening:
    """The linear map after which the catalogue's directions weigh the same.

    Attributes:
        mean_C: of the catalogue.
        map_CK: projection on the leading directions, each divided by its standard deviation.
    """

    mean_C: torch.Tensor
    map_CK: torch.Tensor

    def __call__(self, content_BC: torch.Tensor) -> torch.Tensor:
        """Return whitened contents [..., K], most variable direction first."""
        return (content_BC - self.mean_C) @ self.map_CK


def fitted_whitening(content_NC: torch.Tensor, *, max_width: int, ridge: float) -> Whitening:
    """Fit a whitening to a catalogue.

    Args:
        content_NC: contents, at least three of them, and not all the same.
        max_width: most directions to keep; fewer are kept where there are few contents.
        ridge: added to each direction's variance, in units of the largest. Without it fewer
            contents than directions end up all equally far from each other.

    Raises:
        ValueError: there is nothing to fit to.
    """
    content = content_NC.double()
    mean_C = content.mean(dim=0)
    _, scale, directions = torch.linalg.svd(content - mean_C, full_matrices=False)
    variance = scale**2 / max(len(content) - 1, 1)
    rank = int((variance > variance.max() * 1e-9).sum()) if len(content) > 2 else 0
    if rank == 0:
        raise ValueError(
            "whitening needs three different contents or more, "
            f"but was given {len(content)} of rank {rank}."
        )
    width = min(max_width, rank)
    deviation = (variance[:width] + ridge * variance[0]).sqrt()
    # The sign of a direction is arbitrary: fix it, or two machines make two versions of one model.
    kept = directions[:width]
    largest = kept.gather(1, kept.abs().argmax(dim=1, keepdim=True))
    return Whitening(mean_C.float(), (kept * largest.sign() / deviation[:, None]).T.float())


class Block(nn.Module):
    """A pre-norm transformer layer that starts as the identity."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.feed_norm = nn.LayerNorm(width)
        self.feed_in = nn.Linear(width, 4 * width)
        self.feed_out = nn.Linear(4 * width, width)
        for branch_end in (self.attention_out, self.feed_out):
            nn.init.zeros_(branch_end.weight)
            nn.init.zeros_(branch_end.bias)

    def forward(self, x_BTW: torch.Tensor) -> torch.Tensor:
        """Return the layer's states [B, T, W]; a position sees itself and those before it."""
        x_BTW = x_BTW + self.attention_out(self._attended(self.attention_norm(x_BTW)))
        hidden = functional.gelu(self.feed_in(self.feed_norm(x_BTW)))
        fed: torch.Tensor = x_BTW + self.feed_out(hidden)
        return fed

    def _attended(self, x_BTW: torch.Tensor) -> torch.Tensor:
        rows, length, width = x_BTW.shape
        split = self.query_key_value(x_BTW).view(rows, length, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return seen.transpose(1, 2).reshape(rows, length, width)


class PreferenceTowers(nn.Module):
    """LEARN's user tower and item tower: one set of weights."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.config = config
        self.mean_C: torch.Tensor
        self.map_CK: torch.Tensor
        self.register_buffer("mean_C", torch.zeros(config.content_width))
        self.register_buffer("map_CK", torch.eye(config.content_width, config.whitened_width))
        self.adaptor = nn.Linear(config.whitened_width, config.width)
        self.positions = (
            nn.Parameter(torch.zeros(config.max_history, config.width))
            if config.positions
            else None
        )
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.head = nn.Linear(config.width, config.dim)
        for linear in (self.adaptor, self.head):
            nn.init.eye_(linear.weight)
            nn.init.zeros_(linear.bias)

    def use(self, whitening: Whitening) -> None:
        """Take over a fitted whitening."""
        self.mean_C.copy_(whitening.mean_C)
        self.map_CK.copy_(whitening.map_CK)

    def whitened(self, content_BC: torch.Tensor) -> torch.Tensor:
        """Return whitened contents [..., K]: what both towers read."""
        return Whitening(self.mean_C, self.map_CK)(content_BC)

    def sequence(self, white_BTK: torch.Tensor) -> torch.Tensor:
        """Return the vector at each position, of all up to it, unit norm [B, T, D]."""
        x_BTW = self.adaptor(white_BTK)
        if self.positions is not None:
            x_BTW = x_BTW + self.positions[: x_BTW.shape[1]]
        for block in self.blocks:
            x_BTW = block(x_BTW)
        return functional.normalize(self.head(x_BTW), dim=-1)

    def users(self, white_BTK: torch.Tensor, lengths_B: torch.Tensor) -> torch.Tensor:
        """Return user vectors [B, D]: the last positions of histories padded on the right."""
        emb_BTD = self.sequence(white_BTK)
        return emb_BTD[torch.arange(len(lengths_B), device=lengths_B.device), lengths_B - 1]

    def items(self, white_BK: torch.Tensor) -> torch.Tensor:
        """Return item vectors, unit norm [B, D], each on its own."""
        if self.config.item_tower == "content":
            width = min(self.config.dim, white_BK.shape[-1])
            padding = (0, self.config.dim - width)
            return functional.normalize(functional.pad(white_BK[..., :width], padding), dim=-1)
        return self.sequence(white_BK[:, None])[:, 0]

    def targets(self, white_BTK: torch.Tensor) -> torch.Tensor:
        """Return the vectors [B, T, D] of target sequences that training compares with."""
        if self.config.item_tower == "shared_causal":
            return self.sequence(white_BTK)
        return self.items(white_BTK.flatten(0, 1)).view(*white_BTK.shape[:2], -1)
