"""A small shop, built once."""

import pytest

from spark_jobs.demo.shop.build import Shop, build_shop
from spark_jobs.demo.shop.catalogue import ShopSize

SMALL = ShopSize(
    products=26,
    new_products=2,
    videos=16,
    frames=3,
    rooms=2,
    slices_per_room=4,
    slice_frames=2,
    users=60,
)
SEED = 11


@pytest.fixture(scope="session")
def small_size() -> ShopSize:
    return SMALL


@pytest.fixture(scope="session")
def seed() -> int:
    return SEED


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return build_shop(tmp_path_factory.mktemp("demo") / "shop", SEED, size=SMALL)
