"""The Spark session: its settings, and the one function that builds it."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import pyarrow as pa
from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession

from spark_jobs.config import SparkConfig
from spark_jobs.engine.environment import utf8_file_names
from spark_jobs.engine.scratch import claim_spark_scratch


class JavaMissing(LookupError):
    """No Java 17 or 21 was found."""


# Settings that the platform needs on any cluster.
_REQUIRED = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    # Otherwise the readable part of a line with a broken escape is read as if it were the whole.
    "spark.sql.json.enablePartialResults": "false",
    # The default, 10,000 rows, is 67 MB of backbone features at a time; the engine buffers itself.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "2000",
    # A reused worker keeps the models that it has loaded.
    "spark.python.worker.reuse": "true",
    "spark.python.daemon.module": "spark_jobs.engine.worker_daemon",
    "spark.databricks.delta.schema.autoMerge.enabled": "false",
    # Arrow readers take Spark's default, INT96, for nanoseconds, which cannot hold years before
    # 1677.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    # pandas writes nanoseconds, which Spark refuses; ingest reads them as what they are.
    "spark.sql.legacy.parquet.nanosAsLong": "true",
    # Shops write CSV in the code page of their system, such as cp1252.
    "spark.sql.legacy.javaCharsets": "true",
    # Pages carry checksums; unless they are verified, a flipped bit is another vector and no error.
    "spark.hadoop.parquet.page.verify-checksum.enabled": "true",
    # Otherwise the JVM keeps the line of Python behind each column: seconds a stage.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
}

# Spark's and Delta's defaults are for clusters; on one machine these settings save most of the time
# of a small write.
_LOCAL = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    # Compiling each query's own classes, and Java's compiler after it, cost more than running them:
    # docs/results/2026-11-28-night-cost.md.
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    # Spark writes the plan of each query as text, which nobody reads.
    "spark.sql.debug.maxToStringFields": "5",
    "spark.sql.maxPlanStringLength": "1000",
}

# For a JVM that lives for a few minutes at most: its second compiler would take more time than it
# saves. Alone, the first would have 48 MB for compiled code, too little for a night.
QUICK_JAVA = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC"

# Folder of shuffles, spilled and cached rows.
_LOCAL_DIR = "spark.local.dir"

_JAVA_NAMES = (
    "functions",
    "org.apache.spark.sql.functions",
    "PythonUtils",
    "PythonSQLUtils",
    "io",
    "org",
)


def build_session(
    config: SparkConfig,
    *,
    name: str = "embedmill",
    log: Path | None = None,
    quick: bool = False,
    scratch: str | None = None,
) -> SparkSession:
    """Start, or join, the session.

    Args:
        log: file for the output of the JVM, so that a terminal shows progress alone.
        quick: for a session of seconds; see ``QUICK_JAVA``.
        scratch: folder for Spark's own scratch on one machine, where maintenance finds the files
            of killed runs. A folder that the user has configured in Spark wins.

    Raises:
        JavaMissing: no usable Java; the message says how to get one.
    """
    require_java()
    # Workers would otherwise be started with the first python3 on PATH.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName(name)
    if "SPARK_SUBMIT_MASTER" not in os.environ and not _under_spark_submit():
        builder = builder.master(_retrying(config.master))
        builder = builder.config("spark.driver.memory", config.driver_memory)
        builder = builder.config("spark.jars.packages", config.packages)
    settings = dict(_REQUIRED)
    if config.master.startswith("local"):
        settings |= _LOCAL
    settings["spark.sql.shuffle.partitions"] = str(config.shuffle_partitions)
    settings["spark.pyspark.python"] = sys.executable
    if quick:
        settings["spark.driver.extraJavaOptions"] = QUICK_JAVA
    settings |= config.conf
    if scratch is not None and SparkContext._active_spark_context is None:
        settings |= scratch_setting(config, scratch)
    for key, value in settings.items():
        builder = builder.config(key, value)
    with _stderr_to(log), utf8_file_names(submitted=_under_spark_submit()):
        session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    _remember_names(session)
    _forget_jars(session)
    return session


def _retrying(master: str) -> str:
    """Return a local master that tries a task three times, like a cluster, instead of once."""
    if master == "local":
        return "local[1,3]"
    return re.sub(r"^local\[(\*|\d+)\]$", r"local[\1,3]", master)


def scratch_setting(config: SparkConfig, scratch: str) -> dict[str, str]:
    """Claim a folder for Spark's own scratch, and return the setting that names it.

    Empty where executors are on other machines, or where the user has configured the folder: in
    ``[spark.conf]``, ``SPARK_LOCAL_DIRS``, the properties of spark-submit or Spark's own defaults.
    """
    if not _scratch_is_ours(config):
        return {}
    folder = claim_spark_scratch(scratch)
    return {} if folder is None else {_LOCAL_DIR: folder}


def _scratch_is_ours(config: SparkConfig) -> bool:
    if _LOCAL_DIR in config.conf or "SPARK_LOCAL_DIRS" in os.environ:
        return False
    if not _under_spark_submit():
        master = os.environ.get("SPARK_SUBMIT_MASTER", config.master)
        return master.startswith("local") and _LOCAL_DIR not in _spark_defaults()
    SparkContext._ensure_initialized()
    submitted = SparkConf()
    master = submitted.get("spark.master") or config.master
    return master.startswith("local") and not submitted.contains(_LOCAL_DIR)


def _spark_defaults() -> str:
    """Return the text of spark-defaults.conf without its comments; empty where there is no file."""
    import pyspark

    home = os.environ.get("SPARK_HOME") or str(Path(pyspark.__file__).parent)
    folder = os.environ.get("SPARK_CONF_DIR") or f"{home}/conf"
    file = Path(folder, "spark-defaults.conf")
    lines = file.read_text(errors="replace").splitlines() if file.is_file() else []
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))


def _forget_jars(spark: SparkSession) -> None:
    """Remove the jars of Spark's packages from the search path of Python modules.

    Spark adds them, and each Python task would read the directories of all of them: 0.3 s.
    """
    context = spark.sparkContext
    includes = context._python_includes or []
    context._python_includes = [name for name in includes if not name.endswith(".jar")]
    sys.path[:] = [path for path in sys.path if not path.endswith(".jar")]


def _remember_names(spark: SparkSession) -> None:
    """Resolve the JVM's names that PySpark needs for each column once.

    py4j asks the JVM to resolve a name on each use, and the JVM searches its jars.
    """
    jvm = spark._jvm
    for name in _JAVA_NAMES:
        setattr(jvm, name, getattr(jvm, name))


@contextmanager
def setting_kept(spark: SparkSession, name: str) -> Iterator[None]:
    """Restore a setting of the session when the block ends."""
    before = spark.conf.get(name, None)
    try:
        yield
    finally:
        if before is None:
            spark.conf.unset(name)
        else:
            spark.conf.set(name, before)


def start_workers(spark: SparkSession) -> None:
    """Start the executor's Python workers while the driver still plans its first query.

    Importing torch there takes as long as the driver takes to warm up.
    """

    def start() -> None:
        # Where a worker cannot start, the first query that needs one raises the reason.
        with suppress(Exception):
            spark.range(1).mapInArrow(_unchanged, "id long").collect()

    Thread(target=start, name="start-workers", daemon=True).start()


def _unchanged(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield from batches


def require_java() -> str:
    """Return the path of a Java 17 or 21.

    Raises:
        JavaMissing: none on ``JAVA_HOME`` or ``PATH``, or one of another version.
    """
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    advice = "Install a JDK 17 or 21 (Debian, Ubuntu: apt-get install openjdk-17-jdk-headless)."
    if java is None or not Path(java).exists():
        raise JavaMissing(
            f"Spark needs Java 17 or 21, and none was found at {java or 'PATH'}. {advice}"
        )
    output = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = output.split('"')[1].split(".")[0] if '"' in output else "?"
    if version not in ("17", "21"):
        raise JavaMissing(f"Spark needs Java 17 or 21, but {java} is version {version}. {advice}")
    return java


def _under_spark_submit() -> bool:
    """Return whether spark-submit has started a JVM for this process to join."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


@contextmanager
def _stderr_to(log: Path | None) -> Iterator[None]:
    """Send stderr to a file while the JVM starts: the JVM keeps it for its life."""
    if log is None:
        yield
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr.flush()
    saved = os.dup(2)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


if __name__ == "__main__":
    # Setup starts a session once, so that the first night does not wait for jars.
    build_session(SparkConfig(driver_memory="1g"), log=Path(sys.prefix) / "spark-setup.log").stop()
