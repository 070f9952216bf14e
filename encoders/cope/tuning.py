"""Tuning: an image backbone trained end to end on pictures of items whose SPU is known.

COPE's contrastive loss (Bai et al., ICCV 2023, section 3.3) through all weights of the picture
tower: symmetric InfoNCE over pairs of domains, a row a SPU, each side centred. The map on top is
found afterwards as always (``training.py``). Which picture of an item a step sees, and how it is
cut, depends on seed, step and item alone: a run that was killed goes on to the same weights, and
several processes see what one would.

Shapes: N items, B rows of a batch, C channels, H height, W width, D features.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from encoders.backbones.image import ImageBackbone, load_image_backbone
from encoders.backbones.tuned import save_weights
from encoders.checkpoint import (
    Checkpoint,
    optimizer_tensors,
    read_checkpoint,
    restore_optimizer,
    write_checkpoint,
)
from encoders.cope.items import Features, unit
from encoders.cope.losses import info_nce
from encoders.cope.preprocessing import BadPicture, Limits, in_frame, read_picture
from encoders.cope.sampling import CopeData, Pair, PairSampler
from encoders.hardware import choose_hardware
from encoders.processes import add_up, gathered, group_size, joined, rank, wait
from encoders.settings import TuningConfig

Progress = Callable[[int, int], None]
Pictures = Sequence[Mapping[str, str]]  # uri and sha256 of each

_WARM_UP = 10
_MAX_NORM = 5.0
_CHECKPOINT_EVERY = 25
_READERS = 8
_CATALOGUE = "page"


class NoPairs(ValueError):
    """No two SPUs have items that could be drawn together."""


@dataclass(frozen=True)
class PicturedItems:
    """Items that have pictures.

    Attributes:
        pictures: of each item; none is empty.
        spu_N: row of each item's SPU in ``spu_ids``.
        domain_N: row of each item's domain in ``domains``.
    """

    pictures: Sequence[Pictures]
    spu_N: torch.Tensor
    domain_N: torch.Tensor
    spu_ids: Sequence[str]
    domains: Sequence[str]

    @property
    def data(self) -> CopeData:
        """The items without features, to draw pairs of."""
        nothing_N0 = torch.empty(len(self.pictures), 0)
        return CopeData(Features(self.domain_N, nothing_N0, nothing_N0), self.spu_N, self.spu_ids)


def tune(
    backbone: ImageBackbone,
    items: PicturedItems,
    config: TuningConfig,
    *,
    mixed: bool = False,
    checkpoint: str | None = None,
    progress: Progress | None = None,
) -> list[float]:
    """Train the network of a backbone, in place; return the loss of each step.

    Args:
        backbone: in float32.
        mixed: whether steps compute in bfloat16; weights stay what they are.
        checkpoint: file from which a killed run goes on; the caller removes it in the end.
        progress: called with steps done and steps in all.

    Raises:
        NoPairs: there is nothing to learn from.
    """
    run = _Run(backbone, items, config, mixed)
    losses = run.restored(checkpoint)
    batches = islice(run.batches(), len(losses), config.steps)
    for step, pairs in enumerate(batches, start=len(losses)):
        losses.append(run.step(step, pairs))
        if progress is not None:
            progress(step + 1, config.steps)
        if checkpoint is not None and (step + 1) % _CHECKPOINT_EVERY == 0 and rank() == 0:
            run.save(checkpoint, losses)
    run.network.requires_grad_(False)
    return losses


def tune_jointly(
    base: str,
    items: PicturedItems,
    config: TuningConfig,
    *,
    device: str,
    mixed: bool,
    checkpoint: str,
    weights: str,
) -> list[float]:
    """Tune as one of the processes that a launcher started; see ``tune`` and ``joined``.

    Args:
        weights: safetensors file that the first process writes.
    """
    with joined():
        hardware = choose_hardware(device, "float32")
        if hardware.device.type == "cuda":
            own = torch.device("cuda", rank() % torch.cuda.device_count())
            hardware = replace(hardware, device=own)
        backbone = load_image_backbone(base, hardware)
        losses = tune(backbone, items, config, mixed=mixed, checkpoint=checkpoint)
        if rank() == 0 and backbone.network is not None:
            save_weights(backbone.network, Path(weights))
        wait()
    return losses


class _Run:
    """State of one run."""

    def __init__(
        self, backbone: ImageBackbone, items: PicturedItems, config: TuningConfig, mixed: bool
    ) -> None:
        if backbone.network is None:
            raise ValueError(f"backbone {backbone.name!r} does not give its network.")
        self.network = backbone.network.requires_grad_(True)
        self._backbone, self._items, self._config = backbone, items, config
        self._mixed = mixed
        self._sampler = PairSampler(items.data, len(items.domains))
        if len(self._sampler.eligible) < 2:
            raise NoPairs(
                f"tuning needs two products with two pictured items each; of {len(items.spu_ids)} "
                f"there are {len(self._sampler.eligible)}. Train on a night with more items."
            )
        self._parameters = list(self.network.parameters())
        self._optimiser = torch.optim.AdamW(
            self._parameters, lr=config.learning_rate, weight_decay=config.weight_decay
        )

    def batches(self) -> Iterator[Sequence[Pair]]:
        """Yield batches without end; the same for a seed."""
        generator = torch.Generator().manual_seed(self._config.seed)
        while True:
            yield from self._sampler.epoch(self._config.batch_size, generator)

    def step(self, step: int, pairs: Sequence[Pair]) -> float:
        """Take a step; return its loss."""
        for group in self._optimiser.param_groups:
            group["lr"] = self._config.learning_rate * self._rate(step)
        self._optimiser.zero_grad()
        losses = [self._loss(step, pair) for pair in pairs]
        loss = sum(losses, torch.zeros((), device=self._device)) / max(1, len(losses))
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
        total = add_up(self._parameters, loss / group_size())
        torch.nn.utils.clip_grad_norm_(self._parameters, _MAX_NORM)
        self._optimiser.step()
        return total

    def save(self, path: str, losses: Sequence[float]) -> None:
        weights = {f"network.{name}": t for name, t in self.network.state_dict().items()}
        tensors = weights | optimizer_tensors(self._optimiser)
        write_checkpoint(path, Checkpoint(self._identity, {"losses": list(losses)}, tensors))

    def restored(self, path: str | None) -> list[float]:
        """Go on from a checkpoint of this very run, if there is one; return its losses."""
        saved = None if path is None else read_checkpoint(path, self._identity)
        if saved is None:
            return []
        self.network.load_state_dict(saved.part("network."))
        restore_optimizer(self._optimiser, saved)
        return [float(loss) for loss in saved.state["losses"]]

    @property
    def _device(self) -> torch.device:
        return self._backbone.hardware.device

    @property
    def _identity(self) -> str:
        items = self._items
        shown = [[picture["sha256"] for picture in pictures] for pictures in items.pictures]
        what = [self._backbone.name, asdict(self._config), shown, list(items.spu_ids)]
        what += [items.spu_N.tolist(), items.domain_N.tolist()]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()

    def _rate(self, step: int) -> float:
        """Return the share of the learning rate: a warm-up, then a cosine."""
        warm = min(1.0, (step + 1) / _WARM_UP)
        return warm * (1 + math.cos(math.pi * step / self._config.steps)) / 2

    def _loss(self, step: int, pair: Pair) -> torch.Tensor:
        """Return the loss of a pair of domains, over the rows of all processes."""
        # Each process embeds as many rows, and all of them see the others' vectors.
        rows = len(pair.left_B) // group_size() * group_size()
        if not rows:
            return torch.zeros((), device=self._device)
        own = slice(rank(), rows, group_size())
        read = [self._read(step, side[own]) for side in (pair.left_B, pair.right_B)]
        sides = [gathered(self._embedded(pixels)) for pixels, _ in read]
        there = [gathered(is_there.float()) > 0 for _, is_there in read]
        both_B = there[0] & there[1]
        if both_B.sum() < 2:
            return sides[0].sum() * 0
        left_BD, right_BD = (unit(side[both_B] - side[both_B].mean(dim=0)) for side in sides)
        return info_nce(left_BD, right_BD, temperature=self._config.temperature)

    def _embedded(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._mixed):
            x_BCHW = x_BCHW.to(self._device).contiguous(memory_format=torch.channels_last)
            return self._backbone.forward(x_BCHW).float()

    def _read(self, step: int, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a picture of each item [B, C, H, W], and which of them could be read [B]."""
        # Decoders release the interpreter, so that pictures of a batch are read side by side.
        with ThreadPoolExecutor(_READERS) as readers:
            seen = list(readers.map(partial(self._seen, step), rows.tolist()))
        is_there_B = torch.tensor([picture is not None for picture in seen], dtype=torch.bool)
        blank = Image.new("RGB", (self._backbone.side,) * 2)
        pixels = [self._backbone.pixels(picture or blank) for picture in seen]
        return torch.stack(pixels), is_there_B.to(self._device)

    def _seen(self, step: int, row: int) -> Image.Image | None:
        """Return a picture of an item as a step sees it; None where it cannot be read."""
        rng = np.random.default_rng((self._config.seed, step, row))
        pictures, side = self._items.pictures[row], self._backbone.side
        picture = pictures[int(rng.integers(len(pictures)))]
        read = read_picture(picture["uri"], picture["sha256"], limits=Limits(), side=side)
        if isinstance(read, BadPicture):
            return None
        is_page = self._items.domains[int(self._items.domain_N[row])] == _CATALOGUE
        if is_page and rng.random() < 0.5:
            return in_frame(read, Limits().page_frame, side=side)
        return _cut(read, rng)


def _cut(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return a random part of 64 % of a picture's area or more, mirrored half of the time."""
    share = math.sqrt(rng.uniform(0.64, 1))
    width, height = (max(1, round(share * side)) for side in picture.size)
    left, top = (
        int(rng.integers(whole - part + 1))
        for whole, part in zip(picture.size, (width, height), strict=True)
    )
    part = picture.crop((left, top, left + width, top + height))
    return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else part
