"""Gallery: a page of items beside what COPE's vectors find for them, right and wrong."""

from collections.abc import Sequence
from itertools import groupby

from spark_jobs.evaluation.cope_cross_validation import ItemExample
from spark_jobs.report.lookups import look_up, open_catalogue
from spark_jobs.report.page import rendered
from spark_jobs.warehouse.snapshot import Snapshot


def gallery(snapshot: Snapshot, examples: Sequence[ItemExample], *, max_pixels: int) -> str:
    """Return the page; it holds its pictures, and makes no request.

    Args:
        examples: those of a direction stand together.
        max_pixels: width times height above which a picture is not decoded.
    """
    with open_catalogue(snapshot, {}) as catalogue:
        records = look_up(catalogue, examples, max_pixels=max_pixels)
    by_direction = {
        direction: list(group) for direction, group in groupby(examples, lambda one: one.direction)
    }
    return rendered(
        "gallery.html.j2", by_direction=by_direction, records=records, night=str(snapshot.night)
    )
