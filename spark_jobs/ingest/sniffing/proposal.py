"""Proposal of a ``[[sources]]`` block for a stranger's file: guesses, each of them said."""

import json
import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from spark_jobs.contracts import ACTIONS, DOMAINS
from spark_jobs.ingest.columns import FEED_COLUMNS, REQUIRED_COLUMNS, Kind
from spark_jobs.ingest.reading.column_names import match_names, standard_name
from spark_jobs.ingest.reading.identifiers import plain_name
from spark_jobs.ingest.sniffing.file_shape import FileShape
from spark_jobs.ingest.sniffing.usual_names import ACTION_NAMES, COLUMN_NAMES, DOMAIN_NAMES
from spark_jobs.ingest.sniffing.value_formats import (
    entry_separator,
    is_html,
    level_separator,
    number_format,
    time_format,
)
from spark_jobs.ingest_config import Source

# Texts of an attribute are short; columns beyond these are left to the person.
_ATTRIBUTE_CHARACTERS, _MOST_ATTRIBUTES = 60, 40
# Of a column of kinds of events, such as a click or a purchase.
_MOST_ACTIONS = 50
_DAY = re.compile(r"(?<!\d)\d{4}-\d\d-\d\d(?!\d)")
_ORDER = re.compile("invoice|order|receipt|bestell|rechnung", re.IGNORECASE)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")

Rule = dict[str, Any]


@dataclass
class Proposal:
    """A block of the configuration, and what a person should look at.

    Attributes:
        rules: column of the contract -> keys of its ``ColumnRule``.
        remarks: open questions and guesses, by column or about the whole.
    """

    shape: FileShape
    kind: Kind
    rules: dict[str, Rule] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def toml(self, path: str | None = None) -> str:
        """Return the block as TOML.

        Args:
            path: in place of that in which the date of a night is ``{ds}``.
        """
        shape = self.shape
        settings: Rule = {
            "name": _source_name(shape.path),
            "kind": self.kind,
            "path": _DAY.sub("{ds}", shape.path) if path is None else path,
            "format": shape.format,
        }
        if shape.format == "csv":
            settings |= {} if shape.delimiter == "," else {"delimiter": shape.delimiter}
        settings |= {} if shape.encoding == "utf-8" else {"encoding": shape.encoding}
        lines = ["[[sources]]", *(f"{key} = {_value(value)}" for key, value in settings.items())]
        if self.rules:
            lines += ["", "[sources.columns]"]
            lines += [f"{column} = {_rule(rule)}" for column, rule in self.rules.items()]
        return "\n".join(lines)

    def source(self) -> Source:
        """Return the source that the block describes, of the very file."""
        block = tomllib.loads(self.toml(path=self.shape.path))["sources"][0]
        return TypeAdapter(Source).validate_python(block)


def proposal(shape: FileShape) -> Proposal:
    """Propose how a file is read: what it holds, and a rule for each column that needs one."""
    kind = _kind(shape.columns)
    proposed = Proposal(shape, kind)
    found = _named(shape.columns, kind)
    for column, names in found.items():
        samples = [t for name in names for t in shape.texts[name] if t is not None]
        rule, remarks = _rule_of(column, names, samples)
        proposed.remarks += [f"{', '.join(names)}: {remark}" for remark in remarks]
        if rule is not None:
            proposed.rules[column] = rule
    if "domain" not in found:
        proposed.rules["domain"] = {"value": "page"}
        proposed.remarks.append('domain: no column says it: "page" is assumed (or video, or live)')
    if kind == "interactions" and "action" not in found:
        action = "purchase" if any(map(_ORDER.search, shape.columns)) else "view"
        proposed.rules["action"] = {"value": action}
        proposed.remarks.append(f'action: no column says it: "{action}" is assumed')
    _add_attributes(proposed, found)
    missing = [c for c in REQUIRED_COLUMNS[kind] if c not in found and c not in proposed.rules]
    if missing:
        proposed.remarks.append(
            f"{', '.join(missing)}: no column has a name that says so: add it to [sources.columns]"
        )
    order = {column: place for place, column in enumerate(FEED_COLUMNS[kind])}
    proposed.rules = dict(sorted(proposed.rules.items(), key=lambda entry: order[entry[0]]))
    return proposed


def _kind(columns: Sequence[str]) -> Kind:
    """Return what rows with these columns are: who did something at a time, or items."""
    plain = {plain_name(name) for name in columns}
    names = COLUMN_NAMES["interactions"]
    is_event = plain & {*names["user_id"], "userid"} and plain & {*names["occurred_at"]}
    return "interactions" if is_event else "items"


def _named(columns: Sequence[str], kind: Kind) -> dict[str, list[str]]:
    """Return the columns of the contract that a file has, each with its names in the file."""
    contract = {standard_name(name): name for name in columns}
    found = {c: [contract[c]] for c in FEED_COLUMNS[kind] if c in contract}
    free = [name for name in columns if [name] not in found.values()]
    for column, usual in COLUMN_NAMES[kind].items():
        if column in found:
            continue
        names = next((same for alias in usual if (same := _alike(free, alias))), [])
        taken = names if column == "images" else names[:1]
        if taken:
            found[column] = taken
            free = [name for name in free if name not in taken]
    if kind == "items" and "item_id" not in found:
        # A shop's number of an item is its id where there is no other.
        number = next((column for column in ("sku", "gtin") if column in found), None)
        found |= {"item_id": found.pop(number)} if number else {}
    return found


def _alike(names: Sequence[str], alias: str) -> list[str]:
    """Return the names that are a usual one, with or without a number: ``Bild 1``, ``Bild 2``."""
    same = [name for name in names if alias in (plain_name(name), plain_name(name.split(".")[-1]))]
    return same or [name for name in names if re.fullmatch(rf"{alias}\d+", plain_name(name))]


def _rule_of(
    column: str, names: Sequence[str], samples: Sequence[str]
) -> tuple[Rule | None, list[str]]:
    """Return the rule of a column, None where it needs none, and remarks."""
    remarks: list[str] = []
    rule: Rule = {"column": names[0] if len(names) == 1 else list(names)}
    if column == "occurred_at":
        formats, remarks = time_format(samples)
        rule |= formats
    elif column in _FORMATS:
        rule |= {key: value for key, value in _FORMATS[column](samples).items() if value}
    unknown = [written for written, meant in rule.get("values", {}).items() if meant == ""]
    if unknown:
        remarks.append(
            f"rows with {', '.join(map(repr, unknown))} are left out: name what they are"
        )
    is_found = list(rule) == ["column"] and len(names) == 1 and standard_name(names[0]) == column
    # A plain text in a column of lists is one entry; without a rule it would have to be JSON.
    is_list = column in ("images", "linked_item_ids")
    if is_found and not (is_list and samples and not samples[0].lstrip().startswith("[")):
        return None, remarks
    return rule, remarks


def _values(samples: Sequence[str], usual: Mapping[str, str], wanted: Sequence[str]) -> Rule:
    texts = sorted(set(samples))
    if not texts or len(texts) > _MOST_ACTIONS or set(texts) <= set(wanted):
        return {}
    return {"values": {text: usual.get(plain_name(text), "") for text in texts}}


# Column of the contract -> what its samples say of its rule.
_FORMATS: Mapping[str, Callable[[Sequence[str]], Rule]] = {
    "price": number_format,
    "value": number_format,
    "text": lambda samples: {"html": is_html(samples)},
    "title": lambda samples: {"html": is_html(samples)},
    "images": lambda samples: {"separator": entry_separator(samples)},
    "linked_item_ids": lambda samples: {"separator": entry_separator(samples)},
    "category": lambda samples: {"separator": level_separator(samples)},
    "action": lambda samples: _values(samples, ACTION_NAMES, ACTIONS),
    "domain": lambda samples: _values(samples, DOMAIN_NAMES, DOMAINS),
}


def _add_attributes(proposed: Proposal, found: Mapping[str, Sequence[str]]) -> None:
    """Make attributes of the columns that are nothing else and hold short texts."""
    shape = proposed.shape
    taken = {name for names in found.values() for name in names}
    identifiers = match_names(shape.columns, proposed.kind).read.values()
    free = [name for name in shape.columns if name not in {*taken, *identifiers} and name.strip()]
    if proposed.kind == "items" and "attributes" not in found:
        short = [name for name in free if _is_attribute(shape.texts[name])][:_MOST_ATTRIBUTES]
        if short:
            proposed.rules["attributes"] = {"column": short}
        free = [name for name in free if name not in short]
    if free:
        proposed.remarks.append(f"not read: {', '.join(free)}")


def _is_attribute(texts: Sequence[str | None]) -> bool:
    given = [text for text in texts if text is not None]
    return bool(given) and sum(map(len, given)) / len(given) <= _ATTRIBUTE_CHARACTERS


def _source_name(path: str) -> str:
    stem = os.path.basename(path.rstrip("/")).split(".")[0]
    plain = re.sub(r"[^A-Za-z0-9]+", "_", _DAY.sub("", stem)).strip("_").lower()
    return plain or "feed"


def _rule(rule: Rule) -> str:
    if list(rule) == ["column"]:
        return _value(rule["column"])
    return _value(rule)


def _value(value: object) -> str:
    """Return a value as TOML; a JSON string is a TOML string."""
    match value:
        case dict():
            entries = (f"{_key(str(key))} = {_value(part)}" for key, part in value.items())
            return f"{{ {', '.join(entries)} }}"
        case list() | tuple():
            return f"[{', '.join(map(_value, value))}]"
        case _:
            return json.dumps(value, ensure_ascii=False)


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else json.dumps(key, ensure_ascii=False)
