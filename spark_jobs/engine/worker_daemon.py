"""Daemon of an executor's Python workers: imports the model libraries once, then forks.

Spark starts it in place of ``pyspark.daemon`` (``spark.python.daemon.module``). Otherwise every
worker would import torch and transformers by itself, which takes seconds in every stage.
"""

import gc
import importlib
import sys

from pyspark.daemon import manager

# Only imported: threads and devices that are used before a fork do not survive it.
_PRELOADED = (
    "pyarrow",
    "pandas",
    "torch",
    "safetensors.torch",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    # Architectures of the packaged models; importing one also imports torch's compilers.
    "transformers.models.bert.modeling_bert",
    "transformers.models.llama.modeling_llama",
    "efficientnet_lite_pytorch",
    "encoders.loading",
    "encoders.cope.features",
    "encoders.learn.content",
)


def preload() -> None:
    """Import the libraries that workers use; the worker that uses a broken one raises its error."""
    for module in _PRELOADED:
        try:
            importlib.import_module(module)
        except ImportError:
            continue


if __name__ == "__main__":
    # Spark puts its own jar on the path, and each task would read the jar's directory.
    sys.path[:] = [path for path in sys.path if not path.endswith(".jar")]
    preload()
    # A worker collects garbage after each task. Frozen, torch's objects are skipped, and their
    # memory pages stay shared between the workers.
    gc.collect()
    gc.freeze()
    manager()  # type: ignore[no-untyped-call]
