"""A night: the data interval that one run of the platform is about."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta


class UnreadableNight(ValueError):
    """The text does not name a night."""


@dataclass(frozen=True, order=True)
class Night:
    """The interval [start, end) of one UTC day; ``ds`` is that day."""

    ds: date

    @classmethod
    def parse(cls, text: str) -> "Night":
        """Read a night from ``YYYY-MM-DD``."""
        try:
            return cls(date.fromisoformat(text))
        except ValueError:
            message = f"{text!r} is not a night. Give the day as YYYY-MM-DD, such as 2026-01-31."
            raise UnreadableNight(message) from None

    @property
    def start(self) -> datetime:
        return datetime.combine(self.ds, time(), tzinfo=UTC)

    @property
    def end(self) -> datetime:
        """First moment after the interval: what the night learned can be known from here on."""
        return self.start + timedelta(days=1)

    def __str__(self) -> str:
        return self.ds.isoformat()
