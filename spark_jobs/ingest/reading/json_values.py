"""Values of JSON texts: of a key, and of a text that is one value and nothing more."""

from pyspark.sql import Column
from pyspark.sql import functions as F

# Field that marks the end of a value; see ``sole_value``.
MARK = "_mark"


def keys_of_object(text: Column) -> Column:
    """Return the keys and values of a JSON object, nested values as JSON."""
    return F.from_json(text, "map<string,string>")


def json_value(text: Column, key: str, keys: Column | None = None) -> Column:
    """Return the value of a key of a JSON object as text.

    JSON paths lose a key's outer blanks, so they are used for what is no key alone.

    Args:
        key: a key, or a path such as ``offer.price`` where no key has this name.
        keys: ``keys_of_object`` of the text, where it is there already.
    """
    value = F.try_element_at(keys_of_object(text) if keys is None else keys, F.lit(key))
    return F.coalesce(value, F.get_json_object(text, f"$.{key}")) if "." in key else value


def sole_value(text: Column, type_: str) -> Column:
    """Parse a text that is exactly one JSON value; null where it is of another type or has more.

    ``from_json`` ignores text after the first value. Here the text becomes an element of a list
    whose next and last element is a mark that the text cannot contain, its own hash: text after the
    value breaks the list, makes it longer, or ends it before the mark.

    Args:
        type_: a list of texts, a map of texts, or a struct that has the mark as a field.
    """
    digest = F.xxhash64(text).cast("string")
    is_list = type_.startswith("array")
    opened, closed = (',["', '"]]') if is_list else (f',{{"{MARK}":"', '"}]')
    marked = F.concat(F.lit("["), text, F.lit(opened), digest, F.lit(closed))
    read = F.from_json(marked, f"array<{type_}>")
    mark = F.get(read, 1)
    found = F.get(mark, 0) if is_list else mark[MARK]
    return F.when((F.size(read) == 2) & (found == digest), F.get(read, 0))
