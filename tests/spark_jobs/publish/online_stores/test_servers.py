"""Servers behind online stores: their addresses, and no password in any message."""

import pytest

from spark_jobs.publish.online_stores.servers import Server, addresses, without_password

SERVER = Server("Redis", ["one:1", "two:2"], "EMBEDMILL_REDIS", password="hunter2")


def refuse() -> None:
    raise ConnectionError("hunter2 was refused")


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


def test_a_known_password_is_hidden_wherever_it_stands() -> None:
    assert without_password("login hunter2 failed", "hunter2") == "login *** failed"
    assert "hunter2" not in repr(SERVER)


def test_addresses_are_told_from_options() -> None:
    connection = "one.example:6379,[::1]:6380,db=1,password=a:1b,ssl=true"
    assert addresses(connection) == ["one.example:6379", "[::1]:6380"]


def test_a_server_that_answers_is_ok() -> None:
    ping = SERVER.ping(lambda: "PONG")
    assert (ping.state, ping.seen, ping.advice) == ("ok", "Redis at one:1, two:2 answers", "")


def test_a_server_that_refuses_is_bad_and_the_advice_names_its_settings() -> None:
    ping = SERVER.ping(refuse)
    assert (ping.state, ping.seen) == ("bad", "Redis at one:1, two:2: *** was refused")
    assert "EMBEDMILL_REDIS" in ping.advice


def test_a_failure_says_where_and_what_to_check() -> None:
    failure = SERVER.failure(ConnectionError("hunter2 was refused"))
    assert failure.startswith("the online store, Redis at one:1, two:2, is unavailable: *** was")
    assert failure.endswith("the connection in the environment (EMBEDMILL_REDIS).")
