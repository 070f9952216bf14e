import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from encoders.backbones.image import ImageBackbone, ImagePreprocessing
from encoders.backbones.picture_words import WordReader
from encoders.backbones.text import TextBackbone
from encoders.cope.features import CopeFeatures, feature_artifact, load_features
from encoders.cope.preprocessing import PARTS, Limits
from encoders.cope.word_features import WIDTH, word_features
from encoders.hardware import Hardware
from encoders.machine_faults import MachineFault
from encoders.protocol import Batch, Encoded, Problem
from encoders.settings import CopeConfig
from encoders.video_frames import Clip, frame_uris, sha256_of_frame

MakePicture = Callable[..., dict[str, str]]
CPU = Hardware(torch.device("cpu"), torch.float32)


@pytest.fixture
def encoder() -> CopeFeatures:
    """Backbones that can be checked by hand: the mean colour, and letters counted."""
    image = ImageBackbone(
        "colour",
        width=3,
        side=8,
        pixels=ImagePreprocessing(8, 8, (0, 0, 0), (1, 1, 1)),
        forward=lambda x_BCHW: x_BCHW.mean(dim=(2, 3)),
        hardware=CPU,
    )

    def tokenize(texts: Sequence[str]) -> Sequence[Sequence[int]]:
        return [[ord(letter) % 4 for letter in text] for text in texts]

    text = TextBackbone(
        "letters", 4, CPU, tokenize, lambda ids: torch.eye(4)[ids].mean(dim=1), unknown=0
    )
    return CopeFeatures("cope_features@0123456789ab", [image], text, Limits())


@pytest.fixture
def picture(tmp_path: Path) -> MakePicture:
    def made(*colour: int, broken: bool = False) -> dict[str, str]:
        file = tmp_path / f"{'-'.join(map(str, colour))}{broken}.png"
        Image.new("RGB", (16, 16), colour).save(file)
        if broken:
            file.write_bytes(file.read_bytes()[:30])
        return {"uri": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}

    return made


def _batch(*rows: tuple[str | None, list[dict[str, str]] | None], domain: str = "video") -> Batch:
    return {
        "domain": [domain] * len(rows),
        "title": [title for title, _ in rows],
        "text": [None] * len(rows),
        "images": [images for _, images in rows],
    }


def _image(encoder: CopeFeatures, batch: Batch) -> NDArray[np.float32]:
    return encoder.encode(batch).vectors["image_features"]


def _reading(encoder: CopeFeatures, words: dict[int, str]) -> CopeFeatures:
    """Return the encoder with OCR that finds the words of a picture by its shade of red."""

    def lines(picture_HWC: NDArray[np.uint8]) -> list[tuple[str, float]]:
        return [(words.get(int(picture_HWC[0, 0, 0]), ""), 0.9)]

    reader = WordReader("by shade", lines)
    backbones, text = encoder._pictures._backbones, encoder._text
    return CopeFeatures("cope_features@0123456789ab", backbones, text, Limits(), reader)


def test_words_in_pictures_follow_the_text_features(
    encoder: CopeFeatures, picture: MakePicture
) -> None:
    oat, milk, none = picture(10, 0, 0), picture(20, 0, 0), picture(30, 0, 0)
    reading = _reading(encoder, {10: "oatly", 20: "arla mjolk"})

    encoded = reading.encode(
        _batch(("abc", [oat, milk, oat]), (None, [milk]), ("abc", [none]), (None, [none]))
    )

    text_BX = encoded.vectors["text_features"]
    assert reading.outputs["text_features"] == text_BX.shape[1] == 4 + WIDTH
    np.testing.assert_allclose(
        text_BX[:3, 4:], word_features(["abc oatly arla mjolk", "arla mjolk", "abc"]), atol=1e-6
    )
    np.testing.assert_allclose(text_BX[0, :4], text_BX[2, :4])
    assert not text_BX[1, :4].any()  # no title: zeros, where words are there
    assert np.isnan(text_BX[3]).all()  # neither
    np.testing.assert_allclose(
        encoded.vectors["image_features"],
        _image(
            encoder,
            _batch(("abc", [oat, milk, oat]), (None, [milk]), ("abc", [none]), (None, [none])),
        ),
    )


def test_a_picture_whose_words_cannot_be_read_counts_all_the_same(
    encoder: CopeFeatures, picture: MakePicture
) -> None:
    def fail(_: NDArray[np.uint8]) -> list[tuple[str, float]]:
        raise RuntimeError("shape mismatch")

    backbones, text = encoder._pictures._backbones, encoder._text
    reading = CopeFeatures(
        "cope_features@0123456789ab", backbones, text, Limits(), WordReader("broken", fail)
    )

    encoded = reading.encode(_batch(("abc", [picture(10, 0, 0)])))

    np.testing.assert_allclose(encoded.vectors["image_features"], [[10, 0, 0]])
    np.testing.assert_allclose(
        encoded.vectors["text_features"][:, 4:], word_features(["abc"]), atol=1e-6
    )
    assert [(p.reason, p.fatal) for p in encoded.problems] == [("words_unread", False)]


def test_an_empty_batch_of_words_gives_no_rows(encoder: CopeFeatures) -> None:
    vectors = _reading(encoder, {}).encode(_batch()).vectors

    assert vectors["text_features"].shape == (0, 4 + WIDTH)


def test_features_of_several_backbones_lie_side_by_side(
    encoder: CopeFeatures, picture: MakePicture
) -> None:
    (colour,), text = encoder._pictures._backbones, encoder._text
    half = replace(colour, width=2, forward=lambda x_BCHW: x_BCHW.mean(dim=(2, 3))[:, :2] / 2)
    both = CopeFeatures("cope_features@0123456789ab", [colour, half], text, Limits())

    features = _image(both, _batch(("a", [picture(200, 40, 0)]), ("b", None)))

    assert both.outputs == {"image_features": 5, "text_features": 4}
    np.testing.assert_allclose(features[0], [200, 40, 0, 100, 20], rtol=1e-6)
    assert np.isnan(features[1]).all()


def test_image_features_are_the_mean_over_pictures_in_the_order_of_rows(
    encoder: CopeFeatures, picture: MakePicture
) -> None:
    red, blue = picture(200, 0, 0), picture(0, 0, 100)

    features = _image(encoder, _batch(("a", [red, blue]), ("b", [blue]), ("c", [red, red, blue])))

    np.testing.assert_allclose(
        features, [[100, 0, 50], [0, 0, 100], [400 / 3, 0, 100 / 3]], rtol=1e-6
    )


def test_a_pages_picture_counts_as_it_is_and_in_a_white_frame(
    encoder: CopeFeatures, picture: MakePicture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The backbone shows the corner of its input alone.
    (colour,) = encoder._pictures._backbones
    corner = replace(colour, forward=lambda x_BCHW: x_BCHW[:, :, 0, 0])
    monkeypatch.setattr(encoder._pictures, "_backbones", [corner])
    dark = picture(1, 2, 3)
    batch = {**_batch(("a", [dark]), ("b", [dark])), "domain": ["page", "live"]}

    features = _image(encoder, batch)

    np.testing.assert_allclose(features, [[128, 128.5, 129], [1, 2, 3]])


def test_a_version_without_frames_sees_a_pages_picture_once(
    encoder: CopeFeatures, picture: MakePicture
) -> None:
    earlier = CopeFeatures(
        "cope_features@0123456789ab",
        encoder._pictures._backbones,
        encoder._text,
        Limits.of_version({}),
    )

    features = _image(earlier, _batch(("a", [picture(1, 2, 3)]), domain="page"))

    np.testing.assert_allclose(features, [[1, 2, 3]])


@pytest.fixture
def scene(tmp_path: Path) -> MakePicture:
    """Pictures whose quarters have a shade of grey each, in the order of reading."""

    def made(*shades: int, side: int = 64) -> dict[str, str]:
        pixels = np.kron(np.reshape(shades, (2, 2)), np.ones((side // 2, side // 2)))
        file = tmp_path / f"{'-'.join(map(str, shades))}-{side}.png"
        Image.fromarray(pixels.astype(np.uint8)).convert("RGB").save(file)
        return {"uri": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}

    return made


def _seeing_scenes(encoder: CopeFeatures) -> CopeFeatures:
    return CopeFeatures(
        encoder.version, encoder._pictures._backbones, encoder._text, Limits(), scenes=("live",)
    )


def _parts(encoded: Encoded) -> NDArray[np.float32]:
    """Return the mean colour of each part [B, P]; grey has three alike."""
    parts = encoded.vectors["part_features"]
    return parts.reshape(len(parts), PARTS, 3)[:, :, 0]


def test_parts_of_scenes_have_features_of_their_own(
    encoder: CopeFeatures, scene: MakePicture
) -> None:
    four = scene(0, 40, 80, 200)
    encoder = _seeing_scenes(encoder)
    batch = {**_batch(("a", [four]), ("b", [four])), "domain": ["live", "video"]}

    encoded = encoder.encode(batch)

    in_live, in_video = _parts(encoded)
    # Three rows of three parts, those at the corners a quarter each.
    expected = [[0, 20, 40], [40, 80, 120], [80, 140, 200]]
    np.testing.assert_allclose(in_live.reshape(3, 3), expected, atol=1)
    assert np.isnan(in_video).all()
    np.testing.assert_allclose(encoded.vectors["image_features"], 80, atol=1)
    assert encoder.outputs == {"image_features": 3, "text_features": 4, "part_features": 27}


def test_parts_are_means_over_the_pictures_that_are_large_enough(
    encoder: CopeFeatures, scene: MakePicture
) -> None:
    first, second = scene(0, 40, 80, 200), scene(100, 0, 0, 0)
    small = scene(9, 9, 9, 9, side=32)
    encoder = _seeing_scenes(encoder)

    encoded = encoder.encode(
        _batch(("a", [first, second, small]), ("b", [small]), ("c", None), domain="live")
    )

    of_both, of_small, of_none = _parts(encoded)
    np.testing.assert_allclose(of_both[[0, 2, 6, 8]], [50, 20, 40, 100], atol=1)
    assert np.isnan([of_small, of_none]).all()
    assert not np.isnan(encoded.vectors["image_features"][:2]).any()


def test_a_changed_picture_takes_the_parts_too(encoder: CopeFeatures, scene: MakePicture) -> None:
    changed = {**scene(0, 40, 80, 200), "sha256": "0" * 64}

    encoded = _seeing_scenes(encoder).encode(_batch(("a", [changed, scene(1, 1, 1, 1)])))

    assert all(np.isnan(vectors).all() for vectors in encoded.vectors.values())


def test_scenes_are_in_the_version_of_the_backbones() -> None:
    plain, *scenes = (
        feature_artifact(CopeConfig(scenes=scenes))
        for scenes in ((), ("live", "video"), ("video", "live", "live"))
    )

    assert "part_features" not in plain.config["outputs"]
    assert scenes[0].version == scenes[1].version != plain.version
    assert load_features(scenes[0]).outputs == scenes[0].config["outputs"]


def test_a_batch_of_more_pictures_than_are_decoded_at_once_keeps_order(
    encoder: CopeFeatures, picture: MakePicture
) -> None:
    rows = [("t", [picture(value, 0, 0), picture(value, 9, 0)]) for value in range(50)]

    np.testing.assert_allclose(_image(encoder, _batch(*rows))[:, 0], range(50))


def test_frames_of_a_video_are_pictures(encoder: CopeFeatures, tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for second, grey in enumerate((40, 100, 200)):
            frame = av.VideoFrame.from_image(Image.new("RGB", (64, 48), (grey,) * 3))
            frame.pts, frame.time_base = second, Fraction(1)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    uris = frame_uris(Clip(str(file), Fraction(1)), 8, 10_000)
    frames = [{"uri": uri, "sha256": sha256_of_frame(uri)} for uri in uris]

    features = _image(encoder, _batch(("both", frames), ("last", frames[1:])))

    assert len(frames) == 2
    np.testing.assert_allclose(features, [[150] * 3, [200] * 3], atol=3)


def test_absent_modalities_are_nan(encoder: CopeFeatures, picture: MakePicture) -> None:
    encoded = encoder.encode(_batch(("abc", None), (" ", [picture(1, 2, 3)]), ("abc", [])))

    image, text = (encoded.vectors[name] for name in ("image_features", "text_features"))
    assert np.isnan(image).all(axis=1).tolist() == [True, False, True]
    assert np.isnan(text).all(axis=1).tolist() == [False, True, False]
    assert list(encoded.problems) == []


def test_a_text_of_mostly_unknown_tokens_is_not_read(
    encoder: CopeFeatures, picture: MakePicture
) -> None:
    # "d" is the letter that the tokenizer does not know.
    encoded = encoder.encode(_batch(("ddda", [picture(1, 2, 3)]), ("ddaa", None), ("ddda", None)))

    text = encoded.vectors["text_features"]
    assert np.isnan(text).all(axis=1).tolist() == [True, False, True]
    assert not np.isnan(encoded.vectors["image_features"][0]).any()
    assert encoded.problems == [
        Problem(row, "text_unknown", "75% of its tokens are unknown") for row in (0, 2)
    ]


def test_a_corrupt_picture_is_left_out_and_reported(
    encoder: CopeFeatures, picture: MakePicture
) -> None:
    good, broken = picture(8, 8, 8), picture(1, 1, 1, broken=True)

    encoded = encoder.encode(_batch(("a", [good]), ("b", [broken, good]), ("c", [broken])))

    image = encoded.vectors["image_features"]
    np.testing.assert_allclose(image[:2], 8)
    assert np.isnan(image[2]).all()
    assert not np.isnan(encoded.vectors["text_features"]).any()
    said = [(problem.row, problem.reason, problem.fatal) for problem in encoded.problems]
    assert said == [(1, "image_corrupt", False), (2, "image_corrupt", False)]


def test_a_picture_that_many_show_is_encoded_once_from_any_of_its_files(
    encoder: CopeFeatures, picture: MakePicture, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = picture(8, 8, 8)
    gone = {**shown, "uri": f"{shown['uri']}.gone"}
    sizes: list[int] = []
    encode = ImageBackbone.encode
    monkeypatch.setattr(
        ImageBackbone,
        "encode",
        lambda self, pixels: (sizes.append(len(pixels)), encode(self, pixels))[1],
    )

    encoded = encoder.encode(_batch(("a", [gone]), ("b", [shown]), ("c", [shown])))

    np.testing.assert_allclose(encoded.vectors["image_features"], 8)
    assert list(encoded.problems) == []
    assert sum(sizes) == 1


def test_a_changed_picture_takes_the_whole_row_and_no_other(
    encoder: CopeFeatures, picture: MakePicture
) -> None:
    good = picture(8, 8, 8)
    changed = {**picture(9, 9, 9), "sha256": "0" * 64}

    encoded = encoder.encode(_batch(("a", [good, changed]), ("b", [good])))

    for vectors in encoded.vectors.values():
        assert np.isnan(vectors).all(axis=1).tolist() == [True, False]
    assert [(p.row, p.reason, p.fatal) for p in encoded.problems] == [(0, "image_changed", True)]


def test_a_decoder_without_memory_ends_the_batch_and_a_rerun_encodes_the_picture(
    encoder: CopeFeatures, picture: MakePicture, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = _batch(("a", [picture(8, 8, 8)]), ("b", [picture(9, 9, 9)]))

    def no_memory(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr("PIL.ImageFile.ImageFile.load", no_memory)
        with pytest.raises(MachineFault, match="MemoryError"):
            encoder.encode(batch)
    encoded = encoder.encode(batch)

    np.testing.assert_allclose(encoded.vectors["image_features"][:, 0], [8, 9])
    assert list(encoded.problems) == []


def test_only_the_first_frames_are_read(encoder: CopeFeatures, picture: MakePicture) -> None:
    frames = [picture(value, 0, 0) for value in range(10)]

    assert _image(encoder, _batch(("a", frames)))[0, 0] == np.mean(range(8))


def test_length_orders_by_pictures_and_then_by_text(
    encoder: CopeFeatures, picture: MakePicture
) -> None:
    one = picture(1, 1, 1)
    rows = [
        {"title": "a", "text": None, "images": None},
        {"title": "aaa", "text": "b" * 100, "images": None},
        {"title": "a", "text": None, "images": [one]},
        {"title": "a", "text": None, "images": [one], "domain": "page"},
        {"title": "a", "text": "b" * 100, "images": [one, one]},
    ]

    lengths = [encoder.length(row) for row in rows]

    assert lengths == sorted(lengths)
    assert len(set(lengths)) == 5


def test_an_empty_batch_gives_no_rows(encoder: CopeFeatures) -> None:
    vectors = encoder.encode(_batch()).vectors

    assert vectors["image_features"].shape == (0, 3)
    assert vectors["text_features"].shape == (0, 4)
