"""Links: which SPU does a video or live slice show?"""

from collections.abc import Iterable, Mapping


def linked_spu(linked_item_ids: Iterable[str] | None, spu_of_page: Mapping[str, str]) -> str | None:
    """Return the SPU of the first linked page that is active, None where no link leads to one.

    Args:
        linked_item_ids: pages, the most prominent first.
        spu_of_page: SPU of each active page.
    """
    linked = linked_item_ids if linked_item_ids is not None else ()
    return next((spu_of_page[page] for page in linked if page in spu_of_page), None)
