"""SASRec: a causal transformer over the ids of a history (Kang and McAuley, ICDM 2018).

An item is an embedding of its own and nothing else; the state of the last position, times the
embeddings, scores the catalogue.

Shapes: B histories, T positions, N items, D dimension.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from encoders.learn.history import History
from encoders.learn.rules import Ranker, Scores


@dataclass(frozen=True)
class SasRecConfig:
    """Sizes and training of SASRec.

    Attributes:
        dim: D.
        max_history: T at most; a longer history loses its oldest items.
        candidates: items drawn evenly beside the targets of a batch, as negatives.
        patience: epochs without a better ranking before training stops.
        max_watched: users that the number of epochs is chosen by, at most.
    """

    dim: int = 64
    layers: int = 2
    heads: int = 2
    dropout: float = 0.5
    max_history: int = 50
    candidates: int = 512
    batch_size: int = 64
    learning_rate: float = 1e-3
    epochs: int = 60
    patience: int = 5
    max_watched: int = 2_000
    seed: int = 0


class SasRec(nn.Module):
    """The network."""

    def __init__(self, n_items: int, config: SasRecConfig) -> None:
        super().__init__()
        self.config = config
        self.items = nn.Embedding(n_items, config.dim)
        self.positions = nn.Embedding(config.max_history, config.dim)
        for table in (self.items, self.positions):
            nn.init.normal_(table.weight, std=config.dim**-0.5)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                config.dim,
                config.heads,
                dim_feedforward=config.dim,
                dropout=config.dropout,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, items_BT: torch.Tensor) -> torch.Tensor:
        """Return the state of each position, of all items up to it [B, T, D].

        Args:
            items_BT: padded on the right, where the causal mask keeps it from having an effect.
        """
        length = items_BT.shape[1]
        state_BTD = self.dropout(self.items(items_BT) + self.positions.weight[:length])
        causal_TT = nn.Transformer.generate_square_subsequent_mask(length)
        for block in self.blocks:
            state_BTD = block(state_BTD, src_mask=causal_TT, is_causal=True)
        states: torch.Tensor = self.norm(state_BTD)
        return states


def sasrec_ranker(network: SasRec) -> Ranker:
    """Rank items by the product of their embedding and the state after the last item."""

    def ranker(histories: Sequence[History]) -> Scores:
        network.eval()
        newest = [torch.from_numpy(h.newest(network.config.max_history).items) for h in histories]
        last_B = torch.tensor([len(items) - 1 for items in newest])
        with torch.inference_mode():
            state_BTD = network(nn.utils.rnn.pad_sequence(newest, batch_first=True))
            state_BD = state_BTD[torch.arange(len(last_B)), last_B]
            scores: Scores = (state_BD @ network.items.weight.T).numpy()
        return scores

    return ranker
