"""Night: the data interval of one run of the platform, a UTC day."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta


class UnreadableNight(ValueError):
    """The text is not the date of a night."""


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
        """First moment after the interval; rows of the night are known from then on."""
        return self.start + timedelta(days=1)

    def __str__(self) -> str:
        return self.ds.isoformat()
