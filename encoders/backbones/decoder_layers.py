"""Layers of a decoder: the states that come out of one, without the cost of those after it.

Shapes: B texts, T tokens, D width of the states.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from encoders.backbones.weights import InvalidBackbone, layer_count

Forward = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

# As a setting names it: after the norm that a decoder ends with.
LAST = -1


def layer_number(folder: Path, layer: int) -> int | None:
    """Return the number of a layer, from 1; None of the last, whose states are normed.

    Args:
        folder: of a transformers model.
        layer: from 1, or from the end: -1 is the last.

    Raises:
        InvalidBackbone: the model has no such layer.
    """
    count = layer_count(folder)
    number = layer if layer > 0 else count + 1 + layer
    if layer == 0 or not 1 <= number <= count:
        raise InvalidBackbone(
            f"model {str(folder)!r} has {count} layers: layer should be 1 to {count}, or -1 to "
            f"-{count} from the end, but is {layer}."
        )
    return None if number == count else number


def states(network: nn.Module, number: int | None) -> Forward:
    """Return the function from ids and mask [B, T] to the states of a layer [B, T, D].

    Layers after it are taken out of ``network``.

    Args:
        number: as of ``layer_number``.

    Raises:
        InvalidBackbone: the layers of the network cannot be told from its other parts.
    """
    if number is None:
        return lambda ids_BT, mask_BT: _last_states(network, ids_BT, mask_BT)
    layers = _layers(network)
    del layers[number:]
    kept: list[torch.Tensor] = []

    def keep(_: nn.Module, __: object, output: torch.Tensor | tuple[torch.Tensor, ...]) -> None:
        kept[:] = [output if isinstance(output, torch.Tensor) else output[0]]

    layers[-1].register_forward_hook(keep)

    def forward(ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        _last_states(network, ids_BT, mask_BT)
        return kept.pop()

    return forward


def _last_states(network: nn.Module, ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
    output = network(input_ids=ids_BT, attention_mask=mask_BT, use_cache=False)
    last_BTD: torch.Tensor = output.last_hidden_state
    return last_BTD


def _layers(network: nn.Module) -> nn.ModuleList:
    count = int(network.config.num_hidden_layers)  # type: ignore[union-attr, arg-type]
    found = [m for m in network.modules() if isinstance(m, nn.ModuleList) and len(m) == count]
    if len(found) != 1:
        raise InvalidBackbone(
            f"{type(network).__name__} should hold one list of {count} layers, but holds "
            f"{len(found)}. Take its last layer."
        )
    return found[0]
