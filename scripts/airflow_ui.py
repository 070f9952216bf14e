"""``make airflow``: run Airflow's processes on this machine, the UI on loopback, until Ctrl-C.

Run by the project's own Python; Airflow itself is started through ``scripts/airflow``.
"""

import argparse
import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

import psutil
from filelock import FileLock, Timeout

CHECKOUT = Path(__file__).resolve().parents[1]
COMMAND = CHECKOUT / "scripts" / "airflow"
HOST = "127.0.0.1"
FIRST_PORT, TRIED_PORTS = 8080, 20
PARTS = {
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
    "api-server": ["api-server", "--host", HOST, "--workers", "1"],
}
START_LIMIT_S, STOP_LIMIT_S = 240, 10
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


class CannotStart(RuntimeError):
    """Airflow cannot be started; the message says what to do."""


class Stopped(Exception):
    """Ctrl-C, or a signal to end."""


def main() -> int:
    """Serve until Ctrl-C or a signal; return 1 if Airflow cannot start, or a process of it ends."""
    arguments = _arguments()
    home = Path(os.environ.get("EMBEDMILL_AIRFLOW_HOME", CHECKOUT / ".airflow"))
    for number in SIGNALS:
        signal.signal(number, _stop)
    try:
        home.mkdir(parents=True, exist_ok=True)
        with _locked(home):
            _serve(home, arguments.port, Path(arguments.config))
    except CannotStart as problem:
        print(f"airflow: {problem}", file=sys.stderr)
        return 1
    except Stopped:
        print("\nAirflow has stopped.")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Airflow's UI over the nightly DAG.")
    parser.add_argument(
        "--port", type=int, help=f"by default the first free one from {FIRST_PORT} on"
    )
    parser.add_argument(
        "--config", default="demo/config.toml", help="TOML file of settings for the nights"
    )
    return parser.parse_args()


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Hold the lock of the folder: two schedulers over one SQLite would run every task twice."""
    lock = FileLock(home / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise CannotStart(
            f"another Airflow runs in {home}. Stop it with Ctrl-C where it was started, "
            "or set EMBEDMILL_AIRFLOW_HOME to another folder."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _serve(home: Path, wanted: int | None, config: Path) -> None:
    port = free_port(wanted)
    environment = _environment(port, config.resolve())
    print("Airflow starts; this takes half a minute.", flush=True)
    _adopt_orphans()
    try:
        _prepare(environment)
        parts = _start(home / "logs", environment)
        _wait_until_healthy(parts, f"http://{HOST}:{port}", home / "logs")
        _welcome(home, f"http://{HOST}:{port}", config)
        while True:
            _check_alive(parts, home / "logs")
            time.sleep(1)
    finally:
        _end_all()


def free_port(wanted: int | None) -> int:
    """Return the wanted port, or the first free one.

    Raises:
        CannotStart: it is taken, or is no port.
    """
    if wanted is not None:
        if not 1 <= wanted <= 65535:
            raise CannotStart(f"PORT should be from 1 to 65535, but is {wanted}.")
        if not _is_free(wanted):
            raise CannotStart(
                f"port {wanted} of {HOST} is taken. Stop what listens there, or name another "
                f"(make airflow PORT={wanted + 1}), or none: the first free one is found."
            )
        return wanted
    ports = range(FIRST_PORT, FIRST_PORT + TRIED_PORTS)
    for port in ports:
        if _is_free(port):
            return port
    raise CannotStart(f"all ports from {ports[0]} to {ports[-1]} are taken. Name one: PORT=...")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a port that was closed a moment ago counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _environment(port: int, config: Path) -> dict[str, str]:
    return {
        **os.environ,
        "AIRFLOW__API__BASE_URL": f"http://{HOST}:{port}",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://{HOST}:{port}/execution/",
        "AIRFLOW_VAR_EMBEDMILL_CONFIG": str(config),
        # Stages run one at a time, and every place for a task is a process that waits.
        "AIRFLOW__CORE__PARALLELISM": "2",
    }


def _adopt_orphans() -> None:
    """Become the parent of processes whose own has ended, so that all can be ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def _prepare(environment: Mapping[str, str]) -> None:
    for arguments in (["db", "migrate"], ["pools", "set", "embedmill", "1", "one stage at a time"]):
        done = subprocess.run(
            [COMMAND, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
        )
        if done.returncode:
            raise CannotStart(f"airflow {' '.join(arguments)} failed.\n{done.stdout}{done.stderr}")


def _start(logs: Path, environment: Mapping[str, str]) -> dict[str, subprocess.Popen[bytes]]:
    logs.mkdir(parents=True, exist_ok=True)
    parts = {}
    for name, arguments in PARTS.items():
        with (logs / f"{name}.log").open("ab") as log:
            # A session of its own: Ctrl-C reaches this process alone, which then ends the others.
            parts[name] = subprocess.Popen(
                [COMMAND, *arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    return parts


def _wait_until_healthy(parts: Mapping[str, subprocess.Popen[bytes]], url: str, logs: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while not _is_healthy(url):
        _check_alive(parts, logs)
        if time.monotonic() > deadline:
            raise CannotStart(f"no answer after {START_LIMIT_S} s. See {logs}/*.log.")
        time.sleep(0.5)


def _is_healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/api/v2/monitor/health", timeout=5) as answer:  # noqa: S310
            health = json.load(answer)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False
    return all(health[part]["status"] == "healthy" for part in ("scheduler", "dag_processor"))


def _check_alive(parts: Mapping[str, subprocess.Popen[bytes]], logs: Path) -> None:
    for name, part in parts.items():
        if part.poll() is not None:
            tail = (logs / f"{name}.log").read_text(errors="replace").splitlines()[-15:]
            raise CannotStart(
                f"{name} ended with status {part.returncode}. The end of {logs}/{name}.log:\n"
                + "\n".join(tail)
            )


def _welcome(home: Path, url: str, config: Path) -> None:
    passwords = home / "simple_auth_manager_passwords.json.generated"
    password = json.loads(passwords.read_text())["admin"]
    print(f"\n  {url}/dags/nightly_embeddings\n")
    print(f"  log in as admin, password {password}  (also in {passwords})")
    print(f"  nights read {config}")
    if not config.is_file():
        print(f"  {config} is not there yet: make demo makes the demo's; yours: CONFIG=my.toml")
    print(f"  logs of Airflow's parts in {home}/logs; Ctrl-C stops it\n", flush=True)


def _end_all() -> None:
    """End every descendant of this process: by SIGTERM, and after a while by SIGKILL."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave half of them
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            child.terminate()
    deadline = time.monotonic() + STOP_LIMIT_S
    while left := _descendants():
        if time.monotonic() > deadline:
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        time.sleep(0.2)


def _descendants() -> Sequence[psutil.Process]:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    return psutil.Process().children(recursive=True)


if __name__ == "__main__":
    sys.exit(main())
