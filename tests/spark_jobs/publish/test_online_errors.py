import pytest

from spark_jobs.publish.online_errors import without_password


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis:6379,password=secret,ssl=true", "redis:6379,password=***,ssl=true"),
        ("redis://me:secret@host:6379", "redis://me:***@host:6379"),
        ("no secret here", "no secret here"),
    ],
)
def test_no_password_is_shown(text: str, shown: str) -> None:
    assert without_password(text) == shown
