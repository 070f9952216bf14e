"""``embedmill release align``: a release's encoders, rotated into the space of another."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table as Grid

from spark_jobs.commands.progress import working
from spark_jobs.commands.session import ConfigOption, check_warehouse_exists, console, open_tables
from spark_jobs.config import load_config
from spark_jobs.releases.ledger import live_release, named_release
from spark_jobs.releases.release import Release
from spark_jobs.releases.transitions import TransitionRefused
from spark_jobs.warehouse.tables import Tables

if TYPE_CHECKING:
    from spark_jobs.training.alignment_job import Alignment

# Least share of the recall within a release that is left across two for old readers to go on.
ENOUGH = 0.95


def align(
    config: ConfigOption,
    name: Annotated[str, typer.Argument(help="release to rotate, such as r2")],
    to: Annotated[
        str | None, typer.Option(help="release to rotate it to; by default the live one")
    ] = None,
) -> None:
    """Rotate a release's vectors into another's space, and show how well readers of that do.

    Saves new encoder versions. Dot products within the release stay what they are. Both releases
    have to be served: the rotation is fitted on the vectors of SPUs that both have.
    """
    from spark_jobs.training.alignment_job import align_release

    settings = load_config(config)
    check_warehouse_exists(settings)
    tables = open_tables(settings, quick=True)
    release, target = named_release(tables, name), _target(tables, to)
    with working(console, f"align {release.name} to {target.name}"):
        alignment = align_release(tables, release, target)
    print_recalls(alignment, release, target)
    for kind, version in alignment.versions.items():
        console.print(f"{kind}={version}", highlight=False)
    encoders = " ".join(f"--encoder {kind}={v}" for kind, v in alignment.versions.items())
    console.print(
        f"next: embedmill release create --config {config} --like {release.name} {encoders}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _target(tables: Tables, to: str | None) -> Release:
    target = named_release(tables, to) if to else live_release(tables)
    if target is None:
        raise TransitionRefused(
            "no release is live, so there is none to align to by default: name one (--to r1). "
            "Nothing was changed."
        )
    return target


def print_recalls(alignment: "Alignment", release: Release, to: Release) -> None:
    """Print the recalls of each rotation, and whether they are enough for readers of ``to``."""
    for title, fit in alignment.fits.items():
        console.print(
            f"[bold]{title}[/]: of {to.name}'s ten nearest SPUs, the share found among ten; fitted "
            f"on {fit.fitted:,} SPUs, measured by {fit.measured:,} others",
            highlight=False,
            soft_wrap=True,
        )
        grid = Grid(box=None, header_style="bold", pad_edge=False)
        grid.add_column("recall@10", no_wrap=True)
        within, across = f"within {release.name}", f"{release.name} and {to.name}"
        for column in (within, f"{across}, as they are", f"{across}, rotated", "rotated / within"):
            grid.add_column(column, justify="right")
        for what, recall in fit.recalls.items():
            shares = (recall.within, recall.unrotated, recall.across)
            grid.add_row(what, *(f"{share:.3f}" for share in shares), f"{recall.kept:.0%}")
        console.print(grid, "")
    below = [
        f"{title}, {what}"
        for title, fit in alignment.fits.items()
        for what, recall in fit.recalls.items()
        if not recall.kept >= ENOUGH
    ]
    verdict = (
        f"[yellow]below {ENOUGH:.0%}[/]: {'; '.join(below)}. {release.name} differs from {to.name} "
        "by more than a rotation: train ranking models again before they read it "
        "(docs/guides/ml-engineers.md, Old and new spaces). The versions were saved all the same."
        if below
        else f"all at least {ENOUGH:.0%}: a ranking model trained on {to.name}'s vectors may read "
        "these."
    )
    console.print(verdict, "", highlight=False, soft_wrap=True)
