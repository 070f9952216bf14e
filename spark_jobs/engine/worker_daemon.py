"""The Python side of an executor: imports what models need once, and forks workers that have it.

Spark starts it in place of ``pyspark.daemon`` (``spark.python.daemon.module``). A worker would
otherwise import torch and transformers by itself, for seconds, in every stage.
"""

import gc
import importlib
import sys

from pyspark.daemon import manager

# Imported, and nothing run: threads and devices that are used here would not survive the fork.
_PRELOADED = (
    "pyarrow",
    "pandas",
    "torch",
    "safetensors.torch",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    # The models that come in packages; each would otherwise import torch's compilers by itself.
    "transformers.models.bert.modeling_bert",
    "transformers.models.llama.modeling_llama",
    "efficientnet_lite_pytorch",
    "encoders.loading",
    "encoders.cope.features",
    "encoders.learn.content",
)


def preload() -> None:
    """Import what workers will want; one that is broken shows where it is used, not here."""
    for module in _PRELOADED:
        try:
            importlib.import_module(module)
        except ImportError:
            continue


if __name__ == "__main__":
    # Spark puts its own jar on the path, and each task would read the jar's directory.
    sys.path[:] = [path for path in sys.path if not path.endswith(".jar")]
    preload()
    # A worker collects garbage after each task. It need not look through all of torch for it, and
    # the pages that it does not touch stay shared between the workers.
    gc.collect()
    gc.freeze()
    manager()  # type: ignore[no-untyped-call]
