"""COPE training: from features of items whose SPU is known to a map that beats the raw features.

The map starts at a discriminant analysis (``discriminant.py``), and a residual is learned on it
(``refinement.py``). The weight of pictures beside texts, the number of steps and the calibration
are chosen in folds, on SPUs that the fold's map never saw (``choices.py``); then one map is made
from all SPUs but those kept for the test.

Shapes: N items, M domains, P reduced features, L learned numbers, S SPUs.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

import torch

from encoders.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from encoders.cope.choices import Choice, best_choice, spu_centres
from encoders.cope.discriminant import domain_means, reducing_basis
from encoders.cope.evaluation import (
    directions,
    item_vectors,
    mean_of,
    means,
    raw_vectors,
    scores_by_spu,
)
from encoders.cope.items import is_missing
from encoders.cope.published_heads import PublishedHeads
from encoders.cope.published_training import train_published
from encoders.cope.refinement import Map, Reduced, Refinement, closed_form
from encoders.cope.sampling import CopeData, PairSampler, drawn
from encoders.cope.scenes import shown_parts
from encoders.cope.shared_map import SharedMap, SharedMapConfig
from encoders.cope.spelling import spelling_map
from encoders.resampling import difference
from encoders.settings import CopeConfig

Progress = Callable[[int, int], None]
TrainedHeads = SharedMap | PublishedHeads
_DOMAINS = ("page", "video", "live")
# SPUs whose centres calibrate.
_MOST_CENTRES = 2_048
# Items, of whole SPUs: what is chosen by these is chosen by more of them too, in more time.
_MOST_TO_CHOOSE_BY = 20_000
# Of a training whose SPUs are too few to choose anything by.
_DEFAULT = Choice(1.0, 1.0, 0, 0.0, [])


class NothingToTrainOn(ValueError):
    """No item has any features."""


@dataclass(frozen=True)
class TrainedCope:
    """Heads, and what is known about them.

    Attributes:
        metrics: held-out figures beside the raw features', what was chosen, and the curve.
    """

    heads: TrainedHeads
    metrics: Mapping[str, object]


def train(
    data: CopeData,
    config: CopeConfig,
    *,
    image_widths: Sequence[int],
    words_width: int = 0,
    domains: Sequence[str] = _DOMAINS,
    checkpoint: str | None = None,
    progress: Progress | None = None,
) -> TrainedCope:
    """Train heads; the same data and config give the same heads, interrupted or not.

    Args:
        image_widths: of the backbones, in the order of their features.
        words_width: of the text features, the last so many are of words in pictures.
        checkpoint: file that holds what was chosen, from which a killed run goes on; the caller
            removes it in the end.
        progress: called with stages done and stages in all.

    Raises:
        NothingToTrainOn: no item has any features.
    """
    tell = progress or (lambda _, __: None)
    if not bool(data.items.present.any()):
        raise NothingToTrainOn(
            f"COPE needs items with a picture or a text; of {len(data.items)} none has either. "
            "Run the night's ingest and spu stages first, and see quarantine."
        )
    learned, test = (
        data.of(split, held_out=config.held_out, seed=config.split_seed)
        for split in ("train", "test")
    )
    sampler = PairSampler(learned, len(domains))
    # Without a single pair the heads are the raw features of whatever there is, reduced.
    has_pairs = len(sampler.eligible) > 1
    seen = learned if has_pairs else replace(data, parts=None)
    sizes = SharedMapConfig(
        image_widths=tuple(image_widths),
        text_width=data.items.text_BT.shape[1] - words_width,
        dim=config.dim,
        words_width=words_width,
        domains=tuple(domains),
    )
    if seen.parts is not None:
        seen = _of_shown_parts(seen, sizes, config)
    heads = _centred_heads(seen, sizes)
    if config.heads == "published":
        published = train_published(heads, seen, config)
        return TrainedCope(published, _metrics(published, None, config, learned, test))
    items, bases = _reduced(heads, seen)
    choice = _DEFAULT
    if has_pairs:
        choice = _chosen(items, config, heads.config, checkpoint, _identity(seen, config))
    tell(1, 2)
    trained = _made(heads, items, bases, choice, config)
    if words_width:
        trained.spelling_WK.copy_(_spelling(trained, seen))
    tell(2, 2)
    return TrainedCope(trained, _metrics(trained, choice, config, learned, test))


def _of_shown_parts(seen: CopeData, sizes: SharedMapConfig, config: CopeConfig) -> CopeData:
    """Return scenes as the part that shows their SPU: by raw features, then by a map of these."""
    found = shown_parts(seen, partial(raw_vectors, _centred_heads(seen, sizes)))
    heads = _centred_heads(found, sizes)
    items, bases = _reduced(heads, found)
    return shown_parts(seen, _made(heads, items, bases, _DEFAULT, config))


def _centred_heads(seen: CopeData, sizes: SharedMapConfig) -> SharedMap:
    """Return heads that know the centre of each domain, and no map yet."""
    heads = SharedMap(sizes)
    items, widths = heads.without_words(seen.items), list(sizes.image_widths)
    parts = zip(
        items.image_BI.split_with_sizes(widths, dim=1),
        heads.image_mean_NI.split_with_sizes(widths, dim=1),
        strict=True,
    )
    heads.image_mean_NI.copy_(
        torch.cat([domain_means(part, items.domain_B, like) for part, like in parts], dim=1)
    )
    heads.text_mean_NT.copy_(domain_means(items.text_BT, items.domain_B, heads.text_mean_NT))
    return heads


def _spelling(heads: SharedMap, seen: CopeData) -> torch.Tensor:
    words_NW, spus = heads.words(seen.items), len(set(seen.spu_N.tolist()))
    dims = heads.spelling_WK.shape[1]
    return spelling_map(words_NW, seen.items.domain_B, spus, dims=dims)


def _reduced(heads: SharedMap, data: CopeData) -> tuple[Reduced, tuple[torch.Tensor, torch.Tensor]]:
    """Return the items that say something, reduced, and the bases of pictures and texts."""
    image_NI, text_NT = heads.centred(data.items)
    there_N = ~(is_missing(image_NI) & is_missing(text_NT)).squeeze(1)
    image_NI, text_NT, data = image_NI[there_N], text_NT[there_N], data.where(there_N)
    image_basis = reducing_basis(image_NI, heads.config.image_widths)
    text_basis = reducing_basis(text_NT, [heads.config.text_width])
    reduced = Reduced(
        data, (image_NI.double() @ image_basis).float(), (text_NT.double() @ text_basis).float()
    )
    return reduced, (image_basis, text_basis)


def _chosen(
    items: Reduced,
    config: CopeConfig,
    heads: SharedMapConfig,
    checkpoint: str | None,
    identity: str,
) -> Choice:
    """Return the choice of a run that was killed after it, or a new one."""
    saved = None if checkpoint is None else read_checkpoint(checkpoint, identity)
    if saved is not None:
        return Choice(**saved.state)
    share = _MOST_TO_CHOOSE_BY / len(items.data.spu_N)
    sample = items.where(drawn(items.data.spu_ids, share)[items.data.spu_N])
    # Of the numbers that words do not take.
    config = replace(config, dim=heads.learned_dim)
    choice = best_choice(sample, config, heads.domains, catalogue=heads.catalogue)
    if checkpoint is not None:
        write_checkpoint(checkpoint, Checkpoint(identity, asdict(choice), {}))
    return choice


def _made(
    centred: SharedMap,
    items: Reduced,
    bases: tuple[torch.Tensor, torch.Tensor],
    choice: Choice,
    config: CopeConfig,
) -> SharedMap:
    """Return the heads of a choice, made from all items."""
    domains = centred.config.domains
    sampler = PairSampler(items.data, len(domains))
    trained = sampler.trained_domains if len(sampler.eligible) > 1 else []
    sizes = replace(
        centred.config,
        image_weight=choice.image_weight,
        text_weight=choice.text_weight,
        calibration=choice.calibration,
        trained=tuple(domains[row] for row in trained),
    )
    found = _fitted(items, choice, config, sizes)
    centre_SL = _centres(found, items, choice, domains.index(sizes.catalogue), config.seed)
    heads = SharedMap(sizes, spus=len(centre_SL))
    heads.image_mean_NI.copy_(centred.image_mean_NI)
    heads.text_mean_NT.copy_(centred.text_mean_NT)
    basis_XP = torch.block_diag(*bases)  # type: ignore[no-untyped-call]
    heads.map_XL.copy_(basis_XP @ found.map_PL.double())
    heads.shift_NL.copy_(found.shift_ML)
    heads.centre_SL.copy_(centre_SL)
    return heads.eval()


def _fitted(items: Reduced, choice: Choice, config: CopeConfig, sizes: SharedMapConfig) -> Map:
    """Return the map of a choice, made from all items."""
    read_NP = items.weighted(choice.image_weight, choice.text_weight)
    found = closed_form(items, read_NP, sizes.learned_dim, len(sizes.domains))
    if not choice.steps:
        return found
    run = Refinement(items, read_NP, found, config)
    run.steps(choice.steps)
    return run.map


def _centres(found: Map, items: Reduced, choice: Choice, page: int, seed: int) -> torch.Tensor:
    """Return the centres of trained SPUs that calibrate, of at most ``_MOST_CENTRES``, [S, L]."""
    if not choice.calibration:
        return torch.zeros(0, found.map_PL.shape[1])
    centre_SL = spu_centres(found, items, (choice.image_weight, choice.text_weight), page)
    order = torch.randperm(len(centre_SL), generator=torch.Generator().manual_seed(seed))
    return centre_SL[order[:_MOST_CENTRES].sort().values]


def _metrics(
    heads: TrainedHeads,
    choice: Choice | None,
    config: CopeConfig,
    learned: CopeData,
    test: CopeData,
) -> dict[str, object]:
    """Return held-out figures beside the raw features', what was chosen, and the curve."""
    domains = heads.config.domains
    with torch.no_grad():
        ours = directions(item_vectors(heads, test), test, domains)
    raw = directions(item_vectors(partial(raw_vectors, heads), test), test, domains)
    lead = None
    if ours:
        lead = difference(*(scores_by_spu(found, "R@1") for found in (ours, raw))).as_json()
    parts = {"train": learned, "test": test}
    chosen = {} if choice is None else asdict(choice)
    return {
        "config": asdict(config),
        "spus": {name: len(set(part.spu_N.tolist())) for name, part in parts.items()},
        "items": {name: len(part.items) for name, part in parts.items()},
        "test": means(ours),
        "test_raw": means(raw),
        "test_mean_R@1": mean_of(ours, "R@1"),
        "test_raw_mean_R@1": mean_of(raw, "R@1"),
        "lead": lead,
        "curve": chosen.pop("curve", []),
        "chosen": chosen,
    }


def _identity(data: CopeData, config: CopeConfig) -> str:
    """Return the hash of all that a training depends on."""
    digest = hashlib.sha256(json.dumps([asdict(config), list(data.spu_ids)]).encode())
    for tensor in (data.items.domain_B, data.items.image_BI, data.items.text_BT, data.spu_N):
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
