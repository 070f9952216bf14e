"""Categories: which few groups of categories tell the points of a map apart by colour?"""

from collections import Counter
from collections.abc import Sequence

# More colours than this are not told apart, least of all by the colour-blind.
MOST_GROUPS = 8
OTHER = "Other categories"
_SEPARATOR = " > "


def category_groups(categories: Sequence[str]) -> tuple[list[str], list[int]]:
    """Group categories by the longest start of their paths that leaves few groups.

    Args:
        categories: of each point, from general to special, separated by " > "; empty where it has
            none.

    Returns:
        The names of the groups, most points first, ``OTHER`` last where it has points; and for each
        point the position of its group.
    """
    labels = _labels(categories)
    counted = Counter(label for label in labels if label != OTHER)
    ordered = sorted(counted, key=lambda label: (-counted[label], label))
    kept = ordered[:MOST_GROUPS]
    names = [*kept, *([OTHER] if len(ordered) > len(kept) or OTHER in labels else [])]
    positions = {name: position for position, name in enumerate(names)}
    return names, [positions.get(label, len(names) - 1) for label in labels]


def _labels(categories: Sequence[str]) -> list[str]:
    """Cut the paths at the deepest level that needs no more than ``MOST_GROUPS`` groups.

    Where even the first level has more, it is the first level: the largest groups are kept.
    """
    deepest = max((category.count(_SEPARATOR) + 1 for category in categories), default=1)
    for depth in range(deepest, 0, -1):
        labels = [_cut(category, depth) for category in categories]
        if depth == 1 or len(set(labels) - {OTHER}) <= MOST_GROUPS:
            return labels
    return []


def _cut(category: str, depth: int) -> str:
    return _SEPARATOR.join(category.split(_SEPARATOR)[:depth]) or OTHER
