"""Evaluate encoders side by side, on products and behaviour that none of them was trained on.

Reads ``items``, ``spus``, ``spu_members``, ``spu_events`` and ``interactions`` as of a night, and
encoder versions; encodes what is missing in the caches of the frozen models, and writes what cannot
be read to ``quarantine``.

    embedmill evaluate --config spark_jobs/conf/local.toml r1 r2
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from spark_jobs.config import Config
from spark_jobs.engine.worker_errors import worker_errors_named
from spark_jobs.evaluation.outcome import Evaluation, Unevaluable
from spark_jobs.night import Night
from spark_jobs.releases.encoders import encoder_artifact
from spark_jobs.releases.ledger import named_release
from spark_jobs.warehouse.retention import snapshot_of_night
from spark_jobs.warehouse.tables import Tables

if TYPE_CHECKING:
    from encoders.artifacts import Artifact
    from spark_jobs.evaluation.learn_baselines import LearnOptions

Trained = Literal["cope", "learn_user"]
TRAINED: tuple[Trained, ...] = ("cope", "learn_user")


@dataclass(frozen=True)
class Candidates:
    """Encoders to evaluate, by the name to show; either kind may have none."""

    cope: Mapping[str, "Artifact"]
    learn_user: Mapping[str, "Artifact"]


def candidates(tables: Tables, names: Sequence[str]) -> Candidates:
    """Return the encoders that releases and encoder versions name, each once.

    Args:
        names: releases, such as ``r1``, and versions, such as ``cope@...`` or, as training prints
            them, ``cope=cope@...``; ``learn_user@...`` stands for both towers.

    Raises:
        UnknownRelease: no release has the name.
        Unevaluable: an encoder is gone, altered, or of a kind that nothing is held out for.
    """
    versions = {name.rpartition("=")[2]: _versions(tables, name) for name in names}
    return Candidates(*(_artifacts(tables, kind, versions) for kind in TRAINED))


def evaluations(
    tables: Tables,
    config: Config,
    night: Night,
    given: Candidates,
    learn: "LearnOptions | None" = None,
) -> Iterator[tuple[str, Callable[[], Evaluation]]]:
    """Yield COPE and LEARN, where there is an encoder of it, with a function that evaluates it.

    Call the function with the warehouse's lock held. It raises ``Unevaluable`` where nothing is
    held out from all of the encoders, and ``WorkerFailed`` where a frozen model is altered.

    Args:
        learn: how LEARN is evaluated, if not by default.

    Raises:
        StagedRowsRemoved: the night was not published, and what it staged is gone.
    """
    from spark_jobs.evaluation.cope import evaluate_cope
    from spark_jobs.evaluation.learn import evaluate_learn
    from spark_jobs.evaluation.learn_baselines import DEFAULT

    snapshot = snapshot_of_night(tables, night)
    named = worker_errors_named(f"evaluate, night {night}")
    if given.cope:
        yield "COPE", partial(named(evaluate_cope), snapshot, config, given.cope)
    if given.learn_user:
        options = learn or DEFAULT
        yield (
            "LEARN",
            partial(named(evaluate_learn), snapshot, config, given.learn_user, options),
        )


def _versions(tables: Tables, name: str) -> dict[Trained, str]:
    """Return the encoder versions that a name stands for, by kind."""
    version = name.rpartition("=")[2]
    if "@" not in version:
        release = named_release(tables, name)
        return {kind: release.encoders[kind] for kind in TRAINED}
    for kind in TRAINED:
        if version.startswith(f"{kind}@"):
            return {kind: version}
    raise Unevaluable(
        f"{name!r} should be a release (r1), or an encoder version of kind {' or '.join(TRAINED)} "
        "(which stands for both towers). Nothing was changed."
    )


def _artifacts(
    tables: Tables, kind: Trained, versions: Mapping[str, Mapping[Trained, str]]
) -> dict[str, "Artifact"]:
    """Return the encoders of one kind by the names that stand for them.

    Args:
        versions: of each name, by kind.
    """
    names: dict[str, list[str]] = {}
    for name, by_kind in versions.items():
        if kind in by_kind:
            names.setdefault(by_kind[kind], []).append(name)
    return {", ".join(same): _artifact(tables, kind, version) for version, same in names.items()}


def _artifact(tables: Tables, kind: Trained, version: str) -> "Artifact":
    try:
        return encoder_artifact(tables.warehouse, kind, version)
    except ValueError as error:
        raise Unevaluable(
            f"{kind}: {error} Restore the folder from a copy, or train again (embedmill train). "
            "Nothing was changed."
        ) from error
