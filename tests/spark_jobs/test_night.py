from datetime import UTC, datetime

import pytest

from spark_jobs.night import Night, UnreadableNight


def test_a_night_is_one_utc_day_and_is_known_at_its_end() -> None:
    night = Night.parse("2026-02-28")

    assert night.start == datetime(2026, 2, 28, tzinfo=UTC)
    assert night.end == datetime(2026, 3, 1, tzinfo=UTC)
    assert str(night) == "2026-02-28"


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "2026-01-01'; DROP TABLE x"])
def test_parse_refuses_what_is_not_a_day(text: str) -> None:
    with pytest.raises(UnreadableNight, match="YYYY-MM-DD"):
        Night.parse(text)
