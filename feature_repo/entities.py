"""Entities: the keys by which features are looked up.

Keys are strings, as in the contracts of the tables.
"""

from feast import Entity
from feast.value_type import ValueType

OWNER = "embedmill"

spu = Entity(
    name="spu",
    join_keys=["spu_id"],
    value_type=ValueType.STRING,
    description="Standard product unit: the product behind items, under an id that stays.",
    owner=OWNER,
)
user = Entity(
    name="user",
    join_keys=["user_id"],
    value_type=ValueType.STRING,
    description="A person who interacts with items.",
    owner=OWNER,
)
# A Feast entity has one join key, and an item id is unique within its domain only: views of items
# name both entities, and readers give the columns that the tables have, ``domain`` and ``item_id``.
domain = Entity(
    name="domain",
    join_keys=["domain"],
    value_type=ValueType.STRING,
    description="Kind of content: page, video or live.",
    owner=OWNER,
)
item = Entity(
    name="item",
    join_keys=["item_id"],
    value_type=ValueType.STRING,
    description="One piece of content; looked up together with its domain.",
    owner=OWNER,
)
ENTITIES = (spu, user, domain, item)
