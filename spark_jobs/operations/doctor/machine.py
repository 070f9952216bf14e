"""Checks of the machine: Python and its packages, Java, locale, Spark's jars, disk, devices."""

import locale
import os
import platform
import re
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from spark_jobs.config import Config, SparkConfig
from spark_jobs.engine.disk import GB, free_bytes
from spark_jobs.operations.doctor.findings import Finding, State

_CONSTRAINTS = Path(__file__).resolve().parents[3] / "constraints.txt"
_SETUP = "Run make setup: it installs the versions of constraints.txt."
# A warning below so many times the minimum: the next nights may need the rest.
_COMFORTABLE = 5


def python() -> Iterator[Finding]:
    """Check the version of the interpreter."""
    seen = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info[:2] == (3, 11):
        yield Finding("python", "ok", seen)
    else:
        yield Finding("python", "bad", seen, "Make the environment with Python 3.11: make setup.")


def packages(constraints: Path = _CONSTRAINTS) -> Iterator[Finding]:
    """Compare the installed packages with those required and those tested."""
    needed = [Requirement(line) for line in requires("embedmill") or [] if "extra ==" not in line]
    installed = {need.name: _installed(need.name) for need in needed}
    wrong = [
        f"{need} (found {installed[need.name] or 'none'})"
        for need in needed
        if not need.specifier.contains(installed[need.name] or "0", prereleases=True)
        or installed[need.name] is None
    ]
    if wrong:
        yield Finding("packages", "bad", f"not as required: {'; '.join(wrong)}", _SETUP)
        return
    other = [
        f"{name} {found} (tested: {pinned})"
        for name, pinned in _pins(constraints).items()
        if (found := _installed(name)) is not None and Version(found) != Version(pinned)
    ]
    if other:
        seen = f"{len(other)} of versions that were not tested: {', '.join(other[:4])}"
        yield Finding("packages", "warn", seen, _SETUP)
    else:
        yield Finding("packages", "ok", f"{len(needed)} as required, all of the tested versions")


def java() -> Iterator[Finding]:
    """Find the Java that Spark will start."""
    from spark_jobs.engine.session import JavaMissing, require_java

    try:
        yield Finding("java", "ok", require_java())
    except JavaMissing as error:
        seen, _, advice = str(error).partition(" Install ")
        yield Finding("java", "bad", seen, f"Install {advice}")


def file_names() -> Iterator[Finding]:
    """Check the locale, from which Java takes the encoding of the names of files."""
    from spark_jobs.engine.environment import UTF8_LOCALE, has_utf8_file_names

    encoding = locale.getencoding()
    if has_utf8_file_names():
        yield Finding("locale", "ok", f"names of files are {encoding}")
        return
    seen = (
        f"names of files are {encoding}: embedmill starts Java in the locale {UTF8_LOCALE}, but "
        "spark-submit does not, and finds no file whose name has other letters"
    )
    yield Finding("locale", "warn", seen, f"Set LC_ALL={UTF8_LOCALE}.")


def jars(config: SparkConfig) -> Iterator[Finding]:
    """Check whether Spark's packages are in Ivy's cache."""
    homes = [Path.home() / name for name in (".ivy2.5.2", ".ivy2")]
    if "spark.jars.ivy" in config.conf:
        homes = [Path(config.conf["spark.jars.ivy"])]
    for package in filter(None, (part.strip() for part in config.packages.split(","))):
        group, artifact, number = package.split(":")
        name = f"{group}_{artifact}-{number}.jar"
        found = [home / "jars" / name for home in homes if (home / "jars" / name).is_file()]
        what = f"jar {artifact}"
        if found:
            yield Finding(what, "ok", f"{number}, {found[0].stat().st_size / 1e6:.0f} MB")
        else:
            advice = "Run make setup, or start Spark once with a network: both fetch it."
            yield Finding(what, "warn", f"{name} is not in {homes[0] / 'jars'}", advice)


def disk(config: Config) -> Iterator[Finding]:
    """Check the free space for tables, for scratch files and for models."""
    from encoders.backbones.gguf_model import cache_folder

    places = {
        "disk, warehouse": config.warehouse,
        "disk, scratch": tempfile.gettempdir(),
        "disk, model cache": str(cache_folder()),
    }
    for what, place in places.items():
        free = free_bytes(place)
        if free is None:
            yield Finding(what, "ok", f"{place} is not on a local disk")
            continue
        state = _space_state(free, config.min_free_gb * GB)
        advice = "Free some: embedmill maintain removes files that no served release needs."
        seen = f"{free / GB:.1f} GB free at {place}"
        yield Finding(what, state, seen, "" if state == "ok" else advice)


def hardware(config: Config) -> Iterator[Finding]:
    """Find the device and the precision in which models will run."""
    import torch

    from encoders.hardware import UnusableHardware, choose_hardware, cpu_has_bfloat16

    flags = "bfloat16 in hardware" if cpu_has_bfloat16() else "no bfloat16 in hardware"
    yield Finding("cpu", "ok", f"{os.cpu_count()} cores, {flags}")
    try:
        chosen = choose_hardware(config.encoding.device, config.encoding.precision)
    except UnusableHardware as error:
        advice = 'Set encoding.device and encoding.precision to "auto".'
        yield Finding("device", "bad", str(error), advice)
        return
    name = torch.cuda.get_device_name(chosen.device) if chosen.device.type == "cuda" else ""
    seen = f"{chosen.device} {name}".strip() + f", {str(chosen.dtype).removeprefix('torch.')}"
    yield Finding("device", "ok", seen)


def _space_state(free: int, minimum: float) -> State:
    if free < minimum:
        return "bad"
    return "warn" if free < _COMFORTABLE * minimum else "ok"


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _pins(constraints: Path) -> dict[str, str]:
    if not constraints.is_file():
        return {}
    lines = constraints.read_text(encoding="utf-8").splitlines()
    found = (re.match(r"([A-Za-z0-9._-]+)==([^\s;#]+)", line) for line in lines)
    return {match.group(1): match.group(2) for match in found if match}
