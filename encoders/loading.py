"""Loading an encoder version from its folder, to run on this machine."""

from collections.abc import Callable, Mapping

from encoders.artifacts import Artifact, InvalidArtifact, load_artifact
from encoders.protocol import Encoder
from encoders.spaces.rotation import with_rotation

# Of artifact, device, precision and context: path of a matrix that some encoders read beside their
# weights.
Loader = Callable[[Artifact, str, str, str | None], Encoder]


def load_encoder(
    path: str, *, device: str = "auto", precision: str = "auto", context: str | None = None
) -> Encoder:
    """Load an encoder version, checked against its card.

    Args:
        path: folder ``<name>@<12 hex>``.
        device: ``auto`` takes CUDA where there is one.
        precision: ``auto``, ``float32`` or ``bfloat16``.
        context: path of a ``.npy`` matrix that ``learn_user`` looks its history up in.

    Raises:
        InvalidArtifact: the folder is not a whole, untouched encoder version of a known kind.
    """
    artifact = load_artifact(path)
    kind = artifact.config.get("kind")
    if kind not in _LOADERS:
        known = ", ".join(map(str, _LOADERS))
        raise InvalidArtifact(
            f"encoder {artifact.version}: kind should be one of {known}, but is {kind!r}."
        )
    return with_rotation(_LOADERS[kind](artifact, device, precision, context), artifact)


# Each kind imports its own libraries, and no other's.


def _cope_features(artifact: Artifact, device: str, precision: str, _: str | None) -> Encoder:
    from encoders.cope.features import load_features

    return load_features(artifact, device, precision)


def _cope(artifact: Artifact, *_: str | None) -> Encoder:
    from encoders.cope.model import load_heads

    return load_heads(artifact)


def _semantic_id(artifact: Artifact, *_: str | None) -> Encoder:
    from encoders.semantic_ids.codebooks import load_codebooks

    return load_codebooks(artifact)


def _learn_content(artifact: Artifact, device: str, precision: str, _: str | None) -> Encoder:
    from encoders.learn.content import load

    return load(artifact, device, precision)


def _learn_user(artifact: Artifact, device: str, precision: str, context: str | None) -> Encoder:
    from encoders.learn.preference import load_user

    return load_user(artifact, device, precision, context)


def _learn_item(artifact: Artifact, device: str, precision: str, _: str | None) -> Encoder:
    from encoders.learn.preference import load_item

    return load_item(artifact, device, precision)


_LOADERS: Mapping[object, Loader] = {
    "cope_features": _cope_features,
    "cope": _cope,
    "semantic_id": _semantic_id,
    "learn_content": _learn_content,
    "learn_user": _learn_user,
    "learn_item": _learn_item,
}
