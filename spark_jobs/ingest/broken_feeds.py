"""Broken feeds: those of which so much is refused that the night stops before it is staged."""

from collections.abc import Mapping, Sequence

from spark_jobs.config import Config
from spark_jobs.ingest.feed_counts import Tally
from spark_jobs.ingest.refusals import Refusal, remarks
from spark_jobs.night import Night
from spark_jobs.runs.stage import NightStopped, Step
from spark_jobs.warehouse.quarantine import wilson_lower_bound


class FeedsBroken(NightStopped):
    """Too much of a feed was refused. Quarantine has the rows; nothing was staged."""

    def __init__(self, night: Night, problems: Sequence[str], steps: Sequence[Step]) -> None:
        self.steps = steps
        reasons = [
            "\n".join([step.name, *(f"  {line}" for line in step.remarks)])
            for step in steps
            if step.remarks
        ]
        super().__init__(
            "\n".join(
                [
                    f"night {night} was stopped by ingest. Nothing of it was staged.",
                    *(f"- {problem}" for problem in problems),
                    "What was refused, feed by feed (all of it is in the table quarantine):",
                    *reasons,
                    "Mend the feeds and run the night again, from ingest on. Where a feed is meant "
                    "to be like this, raise the setting.",
                ]
            )
        )


def broken_feeds(counted: Mapping[str, Tally], config: Config) -> list[str]:
    """Return, for each limit that a feed is past: feed, what was measured, limit and setting.

    An optional feed is held against the limits like any other: it may be absent, not broken.
    Who lets the audit pass more than ingest's limits has ingest pass it too.
    """
    audit = config.audit.max_quarantined
    rows, images = (
        max(config.ingest.max_refused, audit),
        max(config.ingest.max_pictures_refused, audit),
    )
    problems = []
    for feed, tally in counted.items():
        problems += _past(feed, "rows", tally.refused, tally.rows, (rows, "max_refused"))
        part, whole = tally.pictures_refused, tally.pictures
        problems += _past(feed, "pictures", part, whole, (images, "max_pictures_refused"))
    return problems


def _past(feed: str, unit: str, part: int, whole: int, limit: tuple[float, str]) -> list[str]:
    most, setting = limit
    if not whole or wilson_lower_bound(part, whole) <= most:
        return []
    return [
        f"feed {feed!r}: {part:,} of {whole:,} {unit} refused ({part / whole:.1%}); at most "
        f"{most:.0%} may be, small numbers forgiven ([ingest] {setting})"
    ]


def feed_remarks(
    counted: Mapping[str, Tally], found: Sequence[Refusal], held: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """Return what a person should know of each feed, beside its counts."""
    return {
        feed: [*remarks(feed, tally, found), *held.get(feed, ())] for feed, tally in counted.items()
    }
