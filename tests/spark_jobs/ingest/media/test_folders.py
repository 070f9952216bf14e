from pathlib import Path

import pytest

from spark_jobs.ingest.media.folders import MediaFolders, UnusableMedia
from spark_jobs.ingest.reading.feeds import media_folders
from spark_jobs.ingest_config import Source
from spark_jobs.night import Night


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A feed's folder, a shared folder beside it, and a link from the feed to an archive."""
    for name in ("feed", "shared", "archive", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.png").touch()
    (tmp_path / "feed" / "linked").symlink_to(tmp_path / "archive")
    (tmp_path / "archive link").symlink_to(tmp_path / "archive")
    return tmp_path


def folders(shop: Path, *roots: str) -> MediaFolders:
    return MediaFolders("pages", str(shop / "feed"), tuple(str(shop / root) for root in roots))


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("feed.png", "feed/feed.png"),
        ("shared.png", "shared/shared.png"),
        ("linked/archive.png", "archive/archive.png"),
        ("../shared/shared.png", "shared/shared.png"),
        ("{shop}/shared/shared.png", "shared/shared.png"),
        ("{shop}/archive/archive.png", "archive/archive.png"),
        ("{shop}/feed/feed.png", "feed/feed.png"),
    ],
)
def test_a_file_below_the_feed_or_a_root_is_found(shop: Path, path: str, file: str) -> None:
    found = folders(shop, "shared", "archive link").file_of(path.format(shop=shop))

    assert found == str((shop / file).resolve())


def test_the_feeds_own_folder_comes_first_and_then_the_roots_in_order(shop: Path) -> None:
    for name in ("archive", "shared"):
        (shop / name / "a.png").touch()
    media = folders(shop, "shared", "archive")

    assert media.file_of("a.png") == str((shop / "shared/a.png").resolve())
    (shop / "feed" / "a.png").touch()
    assert media.file_of("a.png") == str((shop / "feed/a.png").resolve())


@pytest.mark.parametrize("path", ["../other/other.png", "{shop}/other/other.png", "/etc/passwd"])
def test_a_path_out_of_all_folders_is_refused(shop: Path, path: str) -> None:
    with pytest.raises(UnusableMedia) as refused:
        folders(shop, "shared").file_of(path.format(shop=shop))

    assert refused.value.reason == "image_outside_feed"
    assert repr(str(shop / "shared")) in refused.value.detail


def test_a_linked_folder_that_is_no_root_is_refused_and_the_detail_says_how_to_declare_it(
    shop: Path,
) -> None:
    with pytest.raises(UnusableMedia) as refused:
        folders(shop).file_of("linked/archive.png")

    assert refused.value.detail == (
        f"leads to {str(shop / 'archive/archive.png')!r}, but should lie below the feed's folder "
        f"{str(shop / 'feed')!r} or a media root (none). Add its folder to media_roots of source "
        "'pages', or move the file"
    )


def test_a_missing_file_names_the_folders_that_were_looked_at(shop: Path) -> None:
    with pytest.raises(UnusableMedia) as refused:
        folders(shop, "shared", "archive").file_of("none.png")

    assert refused.value.reason == "image_missing"
    for name in ("feed", "shared", "archive"):
        assert repr(str(shop / name)) in refused.value.detail


def test_roots_are_relative_to_the_working_folder_and_name_the_night(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shop)
    source = Source("pages", "items", "feed/rows.jsonl", media_roots=("media/{ds}", "/mnt/media"))

    media = media_folders(source, f"{shop}/feed/rows.jsonl", Night.parse("2026-01-31"))

    assert media == MediaFolders(
        "pages", f"{shop}/feed", (f"{shop}/media/2026-01-31", "/mnt/media")
    )
