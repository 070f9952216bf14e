import re

import pytest

from spark_jobs.operations.erasure.patterns import id_as_word, in_delta_log


@pytest.mark.parametrize(
    ("user", "text", "mentions"),
    [
        ("u1", "u1, u10, su1 and (u1) but not u1-b", 2),
        ("a&b", "<td>a&amp;b</td> <td>a&b</td>", 2),
        ("a.b", "axb a.b", 1),
        ('o"k', r'{"user": "o\"k"}', 1),
        ("42", "42 of 1,042 rows, 4.42 s, width: 42", 0),
        ("42", "<td>42</td> \"42\" '42' user 42 user_id=42, such as 42, 43", 6),
    ],
)
def test_an_id_matches_as_a_word_and_a_number_only_where_an_id_would_stand(
    user: str, text: str, mentions: int
) -> None:
    assert len(re.findall(id_as_word(user), text)) == mentions


@pytest.mark.parametrize(
    ("user", "line", "mentions"),
    [
        ("u1", r'{"add":{"stats":"{\"minValues\":{\"user_id\":\"u1\",\"domain\":\"page\"}}"}}', 1),
        ("u1", r'{"add":{"stats":"{\"minValues\":{\"user_id\":\"u10\"}}"}}', 0),
        (
            "u1",
            r'{"commitInfo":{"operationParameters":{"predicate":"[\"(user_id#12 = u1)\"]"}}}',
            1,
        ),
        ("u1", r'{"add":{"stats":"{\"maxValues\":{\"record_key\":\"u1|page|i1|view\"}}"}}', 1),
        ("42", r'{"add":{"size":42,"stats":"{\"numRecords\":42}"}}', 0),
        # Delta keeps 32 characters of a key.
        ("x" * 36, r'{"add":{"stats":"{\"minValues\":{\"user_id\":\"' + "x" * 32 + '"', 1),
    ],
)
def test_a_delta_log_mentions_a_user_by_key_and_by_condition(
    user: str, line: str, mentions: int
) -> None:
    assert len(in_delta_log(user).findall(line)) == mentions
