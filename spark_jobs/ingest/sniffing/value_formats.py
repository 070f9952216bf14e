"""How values are written: decimal marks, currencies, times, lists and HTML, found in samples."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime

from spark_jobs.ingest.reading.column_rules import CURRENCY_SIGNS

# A format is proposed where more than so large a share of the samples is of it.
_MOST = 0.5
_SOME = 0.05
_DECIMAL_COMMA = re.compile(r"\d,\d{1,2}(?!\d)|,[-\u2013\u2014]|\d\.\d{3},")
_DECIMAL_POINT = re.compile(r"\d\.\d{1,2}(?!\d)|\d,\d{3}(?!\d)")
_PLAIN_NUMBER = re.compile(r"\s*[-+]?\d+(\.\d+)?([eE][-+]?\d+)?\s*")
_THOUSANDS_ONLY = re.compile(r"\D*\d{1,3}(\.\d{3})+\D*")
_EPOCHS = {
    "seconds": re.compile(r"1\d{9}(\.\d+)?"),
    "milliseconds": re.compile(r"1\d{12}(\.\d+)?"),
    "microseconds": re.compile(r"1\d{15}"),
}
_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?.*)?")
_OFFSET = re.compile(r".*(Z|UTC|[+-]\d\d:?\d\d)\s*", re.IGNORECASE)
# Spark's pattern -> Python's.
_PATTERNS = {
    f"{day}{mark[0]}": f"{parsed}{mark[1]}"
    for day, parsed in {
        "d.M.yyyy": "%d.%m.%Y",
        "d/M/yyyy": "%d/%m/%Y",
        "M/d/yyyy": "%m/%d/%Y",
        "yyyy/M/d": "%Y/%m/%d",
        "d-M-yyyy": "%d-%m-%Y",
        "yyyyMMdd": "%Y%m%d",
    }.items()
    for mark in ((" H:mm:ss", " %H:%M:%S"), (" H:mm", " %H:%M"), ("", ""))
}
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|&(amp|lt|gt|nbsp|quot|#\d+);")
_ENTRIES = ("|", ";", ",", " ")
_LEVELS = (">", "/", "|", "\u203a", "\u00bb", "::")


def number_format(samples: Sequence[str]) -> dict[str, str]:
    """Return ``decimal`` and ``currency`` of a rule; nothing where the numbers are plain ones."""
    if not samples or all(_PLAIN_NUMBER.fullmatch(sample) for sample in samples):
        # 1.299 alone may be either; 1.299.000 is no plain number.
        return {}
    commas = sum(bool(_DECIMAL_COMMA.search(sample)) for sample in samples)
    points = sum(bool(_DECIMAL_POINT.search(sample)) for sample in samples)
    thousands = sum(bool(_THOUSANDS_ONLY.fullmatch(sample)) for sample in samples)
    decimal = "," if commas > points or (not points and thousands) else "."
    found = Counter(code for sample in samples if (code := _currency(sample)))
    agreed = len(found) == 1 and {"currency": next(iter(found))}
    return {"decimal": decimal, **(agreed or {})}


def _currency(sample: str) -> str | None:
    signs = "".join(re.findall(r"[^\d.,'\s+\-\u2013\u2014]+", sample))
    codes = [code for code, same in CURRENCY_SIGNS.items() if signs == code or signs in same]
    return codes[0] if codes else None


def time_format(samples: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Return ``time`` of a rule, and remarks about what the samples leave open."""
    for unit, pattern in _EPOCHS.items():
        if _most(samples, pattern.fullmatch):
            return {"time": unit}, []
    if _most(samples, _ISO.fullmatch):
        return {}, [] if _most(samples, _OFFSET.fullmatch) else [_NO_ZONE]
    fitting = [spark for spark, python in _PATTERNS.items() if _most(samples, _parses(python))]
    if not fitting:
        return {}, ["its times are in no format that is known: set time to their pattern"]
    both = [pattern for pattern in fitting if pattern.startswith(("d/M", "M/d"))]
    open_ = [f"{both[0]} or {both[1]}? The samples fit both"] if len(both) > 1 else []
    return {"time": fitting[0]}, [*open_, _NO_ZONE]


_NO_ZONE = 'its times name no zone and are read as UTC: set zone, such as "Europe/Berlin", if not'


def is_html(samples: Sequence[str]) -> bool:
    """Return whether some texts have tags or character references."""
    return bool(samples) and sum(bool(_TAG.search(s)) for s in samples) >= _SOME * len(samples)


def entry_separator(samples: Sequence[str]) -> str | None:
    """Return what stands between the paths of pictures; None where each text is one or JSON."""
    if any(sample.lstrip().startswith("[") for sample in samples):
        return None
    return next((mark for mark in _ENTRIES if any(_is_list(s, mark) for s in samples)), None)


def _is_list(sample: str, mark: str) -> bool:
    """Return whether a text is several paths or addresses: all of them the one, or the other."""
    entries = [entry.strip() for entry in sample.split(mark) if entry.strip()]
    is_address = ["://" in entry for entry in entries]
    are_files = all(re.search(r"\.\w{3,4}([?#].*)?$", entry) for entry in entries)
    return len(entries) > 1 and (all(is_address) or (are_files and not any(is_address)))


def level_separator(samples: Sequence[str]) -> str | None:
    """Return what stands between the levels of a category, unless it is the contract's own."""
    marked = Counter(mark for sample in samples for mark in _LEVELS if mark in sample)
    if not marked:
        return None
    mark, n = max(marked.items(), key=lambda entry: (entry[1], -_LEVELS.index(entry[0])))
    is_ours = mark == ">" and all(f" {mark} " in s for s in samples if mark in s)
    return None if is_ours or n < _SOME * len(samples) else mark


def _parses(pattern: str) -> Callable[[str], bool]:
    def parse(sample: str) -> bool:
        try:
            datetime.strptime(sample.strip(), pattern)
        except ValueError:
            return False
        return True

    return parse


def _most(samples: Sequence[str], test: Callable[[str], object]) -> bool:
    return bool(samples) and sum(bool(test(s.strip())) for s in samples) > _MOST * len(samples)
