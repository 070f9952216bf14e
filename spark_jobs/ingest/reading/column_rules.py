"""Rules of ``[sources.columns]``: values of a feed's own columns, as the contract has them.

A rule reads one text a row: that of its column, or, where it has a list of them, a JSON object of
their texts by name.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from html.parser import HTMLParser

import pandas as pd
from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import pandas_udf

from spark_jobs.ingest.reading.column_names import Made
from spark_jobs.ingest.reading.json_values import sole_value
from spark_jobs.ingest_config import ColumnRule

# How shops write currencies beside their ISO 4217 codes; another sign is one of them all.
CURRENCY_SIGNS: Mapping[str, Sequence[str]] = {
    "EUR": ("€",),
    "USD": ("$", "US$"),
    "GBP": ("£",),
    "JPY": ("¥", "円"),
    "CNY": ("¥", "元"),
    "INR": ("₹", "Rs", "Rs."),
    "PLN": ("zł",),
    "CZK": ("Kč",),
    "HUF": ("Ft",),
    "SEK": ("kr", "kr."),
    "NOK": ("kr", "kr."),
    "DKK": ("kr", "kr."),
    "CHF": ("Fr.", "SFr."),
    "BRL": ("R$",),
    "RUB": ("₽",),
    "CAD": ("$", "CA$", "C$"),
    "AUD": ("$", "A$", "AU$"),
}
_UNITS = {"seconds": 1_000_000, "milliseconds": 1_000, "microseconds": 1}
# Letters by which a pattern of Spark's reads a zone or an offset.
_ZONE_LETTERS = re.compile("[VzOXxZ]")
_HAS_OFFSET = r"(?i)(z|utc|gmt|[+-]\d{2}:?(\d{2})?)\s*$"


def rule_text(rule: ColumnRule, texts: Mapping[str, Column]) -> Column:
    """Return the text that a rule reads: see the module.

    Args:
        texts: name in the feed -> its text; in the order of the rule.
    """
    if rule.value is not None:
        return F.lit(rule.value)
    if not rule.is_list:
        return next(iter(texts.values()))
    given = [
        F.struct(F.lit(name).alias("key"), text.alias("value")) for name, text in texts.items()
    ]
    present = F.filter(F.array(*given), lambda entry: entry["value"].isNotNull())
    return F.when(F.size(present) > 0, F.to_json(F.map_from_entries(present)))


def made_texts(made: Made, text_of: Callable[[str], Column]) -> dict[str, Column]:
    """Return the text that the rule of each column reads.

    Args:
        text_of: returns the text of a name in the feed.
    """
    return {
        column: rule_text(rule, {name: text_of(name) for name in found})
        for column, (rule, found) in made.items()
    }


def is_left_out(text: Column, rule: ColumnRule) -> Column:
    """Return whether a rule's ``values`` say that the row is not meant to be read."""
    return text.isin(*(written for written, meant in rule.values.items() if meant == ""))


def value_by_rule(text: Column, rule: ColumnRule, type_: str) -> Column:
    """Return a value of the contract's type; null where the text is none by the rule.

    Args:
        text: ``rule_text``.
        type_: of the column, as ``FEED_COLUMNS`` has it.
    """
    value = text if not rule.values else _lookup(rule.values, text)
    if type_.startswith("map"):
        return sole_value(value, type_)
    if type_.startswith("array"):
        return _list(_texts(value) if rule.is_list else F.array(value), rule)
    if type_ == "double" and (rule.decimal or rule.currency):
        return _number(value, rule)
    if type_ == "timestamp":
        return _moment(value, rule)
    if type_ != "string":
        return value.try_cast(type_)
    cleaned = F.concat_ws("\n", _texts(value)) if rule.is_list else value
    if rule.html:
        cleaned = words_of_html(cleaned)
    if rule.separator is None:
        return cleaned
    return F.nullif(F.concat_ws(" > ", _split(cleaned, rule.separator)), F.lit(""))


def _lookup(values: Mapping[str, str], text: Column) -> Column:
    pairs = [F.lit(part) for pair in values.items() for part in pair]
    return F.nullif(F.create_map(*pairs)[F.trim(text)], F.lit(""))


def _texts(text: Column) -> Column:
    return F.map_values(F.from_json(text, "map<string,string>"))


def _list(texts: Column, rule: ColumnRule) -> Column:
    """Return the entries of texts that each hold a JSON list, a separated list, or one entry."""

    def entries(text: Column) -> Column:
        listed = sole_value(text, "array<string>")
        if rule.separator is None:
            return F.coalesce(listed, F.array(F.trim(text)))
        return _split(text, rule.separator)

    found = F.flatten(F.transform(F.array_compact(texts), entries))
    return F.filter(found, lambda entry: F.trim(entry) != "")


def _split(text: Column, separator: str) -> Column:
    entries = F.transform(F.split(text, re.escape(separator)), lambda entry: F.trim(entry))
    return F.filter(entries, lambda entry: entry != "")


def _number(text: Column, rule: ColumnRule) -> Column:
    """Read a number that people wrote, such as ``1.299,00 EUR`` or ``CHF 1'299.-``.

    Thousands have three digits, so that ``12.99`` is no number where the decimal mark is a comma.
    """
    decimal = rule.decimal or "."
    mark, group = re.escape(decimal), re.escape("." if decimal == "," else ",")
    plain = F.regexp_replace(text, r"(?U)[\s'\u2019]", "")
    digits = rf"(?:\d{{1,3}}(?:{group}\d{{3}})+|\d*)(?:{mark}(?:\d+|[-\u2013\u2014]+))?"
    currency = _currency(rule.currency)
    whole = rf"(?i)^([-+]?)(?:{currency})?([-+]?{digits})(?:{currency})?$"
    found = F.concat(F.regexp_extract(plain, whole, 1), F.regexp_extract(plain, whole, 2))
    # Zero cents may be written as a dash.
    number = F.regexp_replace(found, rf"{mark}[-\u2013\u2014]+$", "")
    number = F.regexp_replace(F.regexp_replace(number, group, ""), mark, ".")
    return F.when(number.rlike(r"\d"), number.try_cast("double"))


def _currency(code: str | None) -> str:
    """Return a pattern of what may stand beside a number: one currency, or any."""
    if code is not None:
        return "|".join(re.escape(sign) for sign in (code, *CURRENCY_SIGNS.get(code, ())))
    signs = sorted(
        {sign for same in CURRENCY_SIGNS.values() for sign in same}, key=len, reverse=True
    )
    return "|".join([*map(re.escape, signs), r"\p{Sc}", "[a-z]{3}"])


def _moment(text: Column, rule: ColumnRule) -> Column:
    trimmed = F.trim(text)
    if rule.time in _UNITS:
        micros = trimmed.try_cast("decimal(26,6)") * _UNITS[rule.time]
        return F.timestamp_micros(micros.try_cast("bigint"))
    if rule.time is None:
        read = trimmed.try_cast("timestamp")
        has_offset = trimmed.rlike(_HAS_OFFSET)
    else:
        read = F.try_to_timestamp(trimmed, F.lit(rule.time))
        letters = re.sub("'[^']*'", "", rule.time)
        has_offset = F.lit(bool(_ZONE_LETTERS.search(letters)))
    if rule.zone is None:
        return read
    return F.when(has_offset, read).otherwise(F.to_utc_timestamp(read, rule.zone))


class _Words(HTMLParser):
    """Gathers the text of an HTML fragment, without that of scripts and styles."""

    _NOT_SHOWN = ("script", "style", "template")
    _WITHIN_WORDS = ("a", "b", "em", "i", "mark", "small", "span", "strong", "sub", "sup", "u")

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._hidden += tag in self._NOT_SHOWN
        self._break(tag)

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in self._NOT_SHOWN and self._hidden > 0
        self._break(tag)

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)

    def _break(self, tag: str) -> None:
        if tag not in self._WITHIN_WORDS:
            self.parts.append(" ")


def html_words(text: str) -> str:
    """Return the words of an HTML fragment, each run of white space as one blank."""
    parser = _Words()
    parser.feed(text)
    parser.close()
    return " ".join("".join(parser.parts).split())


def _all_html_words(texts: pd.Series) -> pd.Series:
    return texts.map(html_words, na_action="ignore")


def words_of_html(text: Column) -> Column:
    """Return the words of HTML, on the workers."""
    return pandas_udf(_all_html_words, "string")(text)  # type: ignore[call-overload,no-any-return]


def any_of(conditions: Sequence[Column]) -> Column:
    """Return whether one of some conditions holds; unknown ones do not."""
    return reduce(
        lambda a, b: a | b, (F.coalesce(c, F.lit(False)) for c in conditions), F.lit(False)
    )
