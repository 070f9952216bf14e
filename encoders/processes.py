"""Processes that train together: the group, what each adds to a step, and what all agree on.

Plain ``torch.distributed`` over gloo, on the machine's CPUs. Outside of a group there is one
process, and nothing here changes a bit.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import distributed


@contextmanager
def joined() -> Iterator[None]:
    """Be one of the processes that a launcher such as torchrun started.

    It names the group in the environment, as ``torch.distributed`` reads it: ``RANK``,
    ``WORLD_SIZE``, ``MASTER_ADDR``, ``MASTER_PORT``.
    """
    distributed.init_process_group("gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def rank() -> int:
    """Return the number of this process, from 0."""
    return distributed.get_rank() if _is_joined() else 0


def group_size() -> int:
    """Return how many processes train together."""
    return distributed.get_world_size() if _is_joined() else 1


def add_up(parameters: Sequence[torch.nn.Parameter], loss: torch.Tensor) -> float:
    """Give every process the sum of all gradients; return the sum of the losses.

    A process without a share of the batch has no gradients, and adds zeros.
    """
    if not _is_joined():
        return loss.item()
    parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    flat = torch.cat([part.detach().flatten().cpu() for part in (*parts, loss)])
    distributed.all_reduce(flat)
    start = 0
    for parameter in parameters:
        own = flat[start : start + parameter.numel()]
        parameter.grad = own.view_as(parameter).to(parameter.device)
        start += parameter.numel()
    return float(flat[-1].item())


def agreed(value: float) -> float:
    """Return the value of the first process: what all decide by may not differ in a last bit."""
    if not _is_joined():
        return value
    shared = torch.tensor([value], dtype=torch.float64)
    distributed.broadcast(shared, src=0)
    return float(shared.item())


def wait() -> None:
    """Wait until all processes are here."""
    if _is_joined():
        distributed.barrier()


def _is_joined() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def gathered(rows_BX: torch.Tensor) -> torch.Tensor:
    """Return the rows of all processes, one process after the other; gradients come back to each.

    Every process has as many rows, and computes the same loss of all of them.
    """
    if not _is_joined():
        return rows_BX
    return cast(torch.Tensor, _Gathered.apply(rows_BX))


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows_BX: torch.Tensor) -> torch.Tensor:
        parts = [torch.empty_like(rows_BX) for _ in range(group_size())]
        distributed.all_gather(parts, rows_BX.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        # Of one loss, which all have: each gives back the gradient of its own rows.
        (gradient_NX,) = gradients
        size = len(gradient_NX) // group_size()
        return gradient_NX[rank() * size : (rank() + 1) * size]
