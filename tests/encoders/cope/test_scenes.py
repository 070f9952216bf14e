import numpy as np
from PIL import Image

from encoders.cope.scenes import scene_parts


def test_parts_of_a_scene_overlap_and_leave_nothing_out() -> None:
    # Red says how far right a pixel is, green how far down.
    across, down = np.meshgrid(np.arange(240), np.arange(160))
    pixels = np.stack((across, down, np.zeros_like(across)), axis=2).astype(np.uint8)

    whole, *parts = scene_parts(Image.fromarray(pixels))

    np.testing.assert_array_equal(np.array(whole), pixels)
    assert [part.size for part in parts] == [(120, 80)] * 9
    starts = [part.getpixel((0, 0))[:2] for part in parts]
    assert starts == [(x, y) for y in (0, 40, 80) for x in (0, 60, 120)]


def test_a_small_picture_has_no_parts() -> None:
    small = Image.new("RGB", (500, 63))

    assert list(scene_parts(small)) == [small]
