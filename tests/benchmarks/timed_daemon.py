"""The Python side of an executor with a clock around decoding and models, for benchmarks alone.

Named by ``spark.python.daemon.module`` in place of ``spark_jobs.engine.worker_daemon``.
"""

import atexit
import functools
import gc
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyspark.daemon import manager

from spark_jobs.engine.worker_daemon import preload

_spent: Counter[str] = Counter()


def timed(owner: type, name: str, kind: str) -> None:
    """Count the processor seconds that a method takes, and keep the sum on disk."""
    work: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(work)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        started = time.process_time()
        try:
            return work(*args, **kwargs)
        finally:
            _spent[kind] += time.process_time() - started
            _write()

    setattr(owner, name, wrapped)


def _write() -> None:
    # By process: a worker is forked with an empty counter and ends without a word. A worker's own
    # time too: the daemon above it may be gone before anybody asks how long its children took.
    folder = os.environ.get("EMBEDMILL_BENCH_TIMINGS")
    if folder:
        spent = {**_spent, "workers": time.process_time()}
        Path(folder, f"{os.getpid()}.json").write_text(json.dumps(spent))


if __name__ == "__main__":
    sys.path[:] = [path for path in sys.path if not path.endswith(".jar")]
    preload()
    from encoders.backbones.image import ImageBackbone
    from encoders.backbones.language_model import LanguageModel
    from encoders.backbones.text import TextBackbone
    from encoders.cope.features import CopeFeatures

    timed(CopeFeatures, "_pixels", "decode")
    timed(ImageBackbone, "encode", "model: pictures")
    timed(TextBackbone, "encode", "model: texts")
    timed(LanguageModel, "encode", "model: language model")
    atexit.register(_write)
    gc.collect()
    gc.freeze()
    manager()  # type: ignore[no-untyped-call]
