"""Transformer towers: LEARN as published, of encoder versions trained until November 2026.

After LEARN (Jia et al., AAAI 2025, section 3.3): an adaptor, a causal transformer, a projection, L2
norm; a user is the last position of the history. On the data at hand they rank worse than rules
without training (``docs/results/2026-11-29-learn-early-stopping.md``), so new versions are trained
as ``towers.py`` has it, and these are only loaded.

Shapes: B rows, T positions, C content width, K whitened width, W width of the transformer,
D dimension, N contents.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import nn
from torch.nn import functional

from encoders.learn.history import History
from encoders.learn.whitening import Whitening

ItemTower = Literal["shared_causal", "shared_single", "content"]
ITEM_TOWERS: tuple[str, ...] = get_args(ItemTower)


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes of the towers, as an encoder's ``config.json`` has them.

    Attributes:
        content_width: C, of the language model's states.
        whitened_width: K, leading directions of the catalogue that are kept.
        dim: D.
        width: W.
        positions: add an embedding of the position.
        item_tower: ``content`` is whitened content as it is; the others use the user's weights.
    """

    content_width: int
    whitened_width: int
    dim: int = 64
    width: int = 64
    layers: int = 2
    heads: int = 4
    max_history: int = 80
    positions: bool = False
    item_tower: ItemTower = "shared_causal"

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

    @property
    def behaviour_width(self) -> int:
        """These towers read contents alone."""
        return 0


class Block(nn.Module):
    """A pre-norm transformer layer that starts as the identity."""

    def __init__(self, config: TransformerConfig) -> None:
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


class TransformerTowers(nn.Module):
    """LEARN's user tower and item tower: one set of weights."""

    def __init__(self, config: TransformerConfig) -> None:
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

    def inputs(self, content_NC: torch.Tensor, _: torch.Tensor | None = None) -> torch.Tensor:
        """Return whitened contents [N, K]: what both towers read."""
        return Whitening(self.mean_C, self.map_CK)(content_NC)

    def sequence(self, white_BTK: torch.Tensor) -> torch.Tensor:
        """Return the vector at each position, of all up to it, unit norm [B, T, D]."""
        x_BTW = self.adaptor(white_BTK)
        if self.positions is not None:
            x_BTW = x_BTW + self.positions[: x_BTW.shape[1]]
        for block in self.blocks:
            x_BTW = block(x_BTW)
        return functional.normalize(self.head(x_BTW), dim=-1)

    def users(self, white_NK: torch.Tensor, histories: Sequence[History]) -> torch.Tensor:
        """Return user vectors, unit norm [B, D]: the last positions of the histories.

        Args:
            histories: rows of ``white_NK``, one item at least; the newest are read.
        """
        newest = [torch.from_numpy(h.items[-self.config.max_history :]) for h in histories]
        padded = torch.nn.utils.rnn.pad_sequence(newest, batch_first=True)
        last_B = torch.tensor([len(items) - 1 for items in newest])
        emb_BTD = self.sequence(white_NK[padded.to(white_NK.device)])
        return emb_BTD[torch.arange(len(last_B)), last_B]

    def items(self, white_NK: torch.Tensor) -> torch.Tensor:
        """Return item vectors, unit norm [N, D], each on its own."""
        if self.config.item_tower == "content":
            width = min(self.config.dim, white_NK.shape[-1])
            padding = (0, self.config.dim - width)
            return functional.normalize(functional.pad(white_NK[..., :width], padding), dim=-1)
        return self.sequence(white_NK[:, None])[:, 0]
