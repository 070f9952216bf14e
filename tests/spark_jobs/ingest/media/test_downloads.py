"""Pictures behind URLs, from a server on loopback that behaves badly."""

import io
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from PIL import Image

from encoders.machine_faults import MachineFault
from spark_jobs.ingest.media import fetching
from spark_jobs.ingest.media.downloads import Downloads
from spark_jobs.ingest.media.fetching import Unreachable, is_public, shown_url
from spark_jobs.ingest.media.folders import MediaFolders, UnusableMedia
from spark_jobs.ingest.media.item_media import MediaReader
from spark_jobs.ingest.media.pictures import Picture
from spark_jobs.ingest_config import IngestConfig


def png(color: str = "red") -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (10, 10), color).save(content, "PNG")
    return content.getvalue()


PNG = png()
LIMITS = IngestConfig(
    fetch_pictures=True,
    fetch_private_networks=True,
    fetch_seconds=5,
    fetch_again_days=0,
    max_image_bytes=20_000,
)


class Handler(BaseHTTPRequestHandler):
    """Answers by the method of this class that the path names."""

    protocol_version = "HTTP/1.1"
    seen: ClassVar[Counter[str]] = Counter()
    hosts: ClassVar[list[str]] = []
    content = PNG

    def do_GET(self) -> None:
        name = self.path.strip("/").partition("?")[0]
        Handler.seen[name] += 1
        Handler.hosts.append(self.headers["Host"])
        getattr(self, name)()

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, content: bytes = b"", **headers: object) -> None:
        self.send_response(status)
        for name, value in ({"Content_Length": len(content)} | headers).items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(content)

    def good(self) -> None:
        self.answer(200, Handler.content)

    def tagged(self) -> None:
        tag = sha256(Handler.content).hexdigest()
        if self.headers["If-None-Match"] == tag:
            self.answer(304)
        else:
            self.answer(200, Handler.content, ETag=tag)

    def moved(self) -> None:
        self.answer(302, Location="/good")

    def itself(self) -> None:
        self.answer(302, Location="/itself")

    def ping(self) -> None:
        self.answer(301, Location="/pong")

    def pong(self) -> None:
        self.answer(301, Location="/ping")

    def to_metadata(self) -> None:
        self.answer(302, Location="http://169.254.169.254/latest/meta-data")

    def to_file(self) -> None:
        self.answer(302, Location="file:///etc/passwd")

    def fails_once(self) -> None:
        self.answer(500 if Handler.seen["fails_once"] == 1 else 200, PNG)

    def fails(self) -> None:
        self.answer(503, b"no")

    def absent(self) -> None:
        self.answer(404, b"no")

    def page(self) -> None:
        self.answer(200, b"<!doctype html><title>Log in</title>", Content_Type="image/png")

    def short(self) -> None:
        self.answer(200, PNG, Content_Length=len(PNG) + 100)
        self.close_connection = True

    def huge(self) -> None:
        self.answer(200, b"", Content_Length=10**12)
        self.close_connection = True

    def endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        while True:
            self.wfile.write(b"0" * 10_000)

    def endless_chunks(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True
        while True:
            self.wfile.write(b"3e8\r\n" + b"0" * 1000 + b"\r\n")

    def hangs(self) -> None:
        time.sleep(8)

    def drips(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        for _ in range(40):
            self.wfile.write(b"0")
            time.sleep(0.2)

    def drips_headers(self) -> None:
        self.close_connection = True
        for letter in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"0" * 40:
            self.wfile.write(bytes([letter]))
            time.sleep(0.2)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Clients leave while they are answered."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(fetching, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(Handler, "seen", Counter())
    monkeypatch.setattr(Handler, "content", PNG)
    with Server(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture
def downloads(tmp_path: Path) -> Callable[..., Downloads]:
    def make(**changes: object) -> Downloads:
        limits = IngestConfig(**{**LIMITS.__dict__, **changes})
        return Downloads(str(tmp_path / "media"), limits)

    return make


def test_a_picture_is_stored_by_its_hash_whole_and_once(
    server: str, downloads: Callable, tmp_path: Path
) -> None:
    picture = downloads().picture(f"{server}/good")

    digest = sha256(PNG).hexdigest()
    assert picture == Picture(str(tmp_path / "media" / digest[:2] / digest), digest)
    assert Path(picture.uri).read_bytes() == PNG
    files = [path for path in (tmp_path / "media").rglob("*") if path.is_file()]
    assert len(files) == 2


def test_a_stored_url_is_not_fetched_again_for_some_days(server: str, downloads: Callable) -> None:
    first = downloads().picture(f"{server}/good")

    assert downloads(fetch_again_days=7).picture(f"{server}/good") == first
    assert Handler.seen["good"] == 1
    downloads().picture(f"{server}/good")
    assert Handler.seen["good"] == 2


def test_a_server_with_validators_sends_an_unchanged_picture_once(
    server: str, downloads: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = downloads().picture(f"{server}/tagged")
    assert downloads().picture(f"{server}/tagged") == first

    monkeypatch.setattr(Handler, "content", png("blue"))
    changed = downloads().picture(f"{server}/tagged")

    assert changed.sha256 == sha256(png("blue")).hexdigest()
    assert Path(first.uri).read_bytes() == PNG


def test_a_url_whose_stored_picture_was_removed_is_fetched_again(
    server: str, downloads: Callable
) -> None:
    picture = downloads().picture(f"{server}/tagged")
    Path(picture.uri).unlink()

    assert downloads(fetch_again_days=7).picture(f"{server}/tagged") == picture
    assert Path(picture.uri).exists()


def test_what_was_stored_is_taken_while_the_server_is_away(
    server: str, downloads: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = downloads().picture(f"{server}/good")
    monkeypatch.setattr(Handler, "good", Handler.fails)

    assert downloads().picture(f"{server}/good") == first


@pytest.mark.parametrize(("name", "requests"), [("moved", 1), ("fails_once", 2)])
def test_a_redirect_is_followed_and_a_failure_tried_again(
    server: str, downloads: Callable, name: str, requests: int
) -> None:
    assert downloads().picture(f"{server}/{name}").sha256 == sha256(PNG).hexdigest()
    assert Handler.seen[name] == requests


@pytest.mark.parametrize(
    ("name", "reason", "detail"),
    [
        ("itself", "image_not_fetched", "more than 3 redirects"),
        ("ping", "image_not_fetched", "more than 3 redirects"),
        ("to_file", "image_not_fetched", "http or https, but is 'file'"),
        ("absent", "image_not_fetched", "HTTP status 404"),
        ("fails", "image_not_fetched", "HTTP status 503"),
        ("short", "image_not_fetched", "IncompleteRead"),
        ("page", "image_corrupt", "is an HTML page; should be one of JPEG"),
        ("huge", "image_too_large", "more than 20000 bytes"),
        ("endless", "image_too_large", "more than 20000 bytes"),
        ("endless_chunks", "image_too_large", "more than 20000 bytes"),
    ],
)
def test_an_answer_that_is_no_picture_is_refused_and_nothing_stored(
    server: str, downloads: Callable, tmp_path: Path, name: str, reason: str, detail: str
) -> None:
    with pytest.raises(UnusableMedia) as refused:
        downloads().picture(f"{server}/{name}")

    assert refused.value.reason == reason
    assert detail in refused.value.detail
    assert not (tmp_path / "media").exists()
    assert Handler.seen[name] <= 4


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["hangs", "drips", "drips_headers"])
def test_a_slow_server_is_left_at_the_deadline(server: str, downloads: Callable, name: str) -> None:
    started = time.monotonic()

    with pytest.raises(Unreachable, match=r"not there after 0\.5 s"):
        downloads(fetch_seconds=0.5).picture(f"{server}/{name}")

    assert time.monotonic() - started < 4


def test_a_server_that_never_answers_is_given_up(server: str, downloads: Callable) -> None:
    fetcher = downloads()
    for _ in range(3):
        with pytest.raises(Unreachable):
            fetcher.picture(f"{server}/fails")
    requests = Handler.seen["fails"]

    with pytest.raises(Unreachable, match="did not answer for 3 pictures in a row"):
        fetcher.picture(f"{server}/fails")

    assert Handler.seen["fails"] == requests == 9


def test_a_redirect_to_a_private_address_is_refused_though_the_first_was_public(
    server: str, downloads: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        fetching, "is_public", lambda address: address == "127.0.0.1" or is_public(address)
    )

    with pytest.raises(UnusableMedia, match=r"169\.254\.169\.254"):
        downloads(fetch_private_networks=False).picture(f"{server}/to_metadata")


def test_loopback_is_refused_without_an_allowance(server: str, downloads: Callable) -> None:
    with pytest.raises(UnusableMedia, match="fetch_private_networks = true"):
        downloads(fetch_private_networks=False).picture(f"{server}/good")

    assert not Handler.seen


def test_a_name_is_resolved_once_and_its_checked_address_connected(
    server: str, downloads: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(server.rpartition(":")[2])
    answers = iter(["127.0.0.1", "10.0.0.1"])
    found = socket.getaddrinfo

    def rebound(host: str, *arguments: object, **named: object) -> object:
        return found(next(answers) if host == "shop.example" else host, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    picture = downloads().picture(f"http://shop.example:{port}/good")

    assert picture.sha256 == sha256(PNG).hexdigest()
    assert Handler.hosts[-1] == f"shop.example:{port}"


def test_one_private_address_of_several_refuses_the_host(
    downloads: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [(0, 0, 0, "", ("93.184.215.14", 80)), (0, 0, 0, "", ("10.0.0.1", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)

    with pytest.raises(UnusableMedia, match=r"10\.0\.0\.1, which is not of the public"):
        downloads(fetch_private_networks=False).picture("http://shop.example/a.png")


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1"),
        *("0.0.0.0", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "::", "::1"),
        *("fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1"),
        *("::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::1", "2001:0:a00:1::"),
    ],
)
def test_addresses_out_of_the_public_internet_are_known(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    ["ftp://shop.example/a.png", "file:///etc/passwd", "http://", "http://[::1", "http://a:x/",
     "https://user:secret@shop.example/a.png"],
)  # fmt: skip
def test_other_urls_are_refused_without_their_secrets(downloads: Callable, url: str) -> None:
    reader = MediaReader(LIMITS, downloads())

    taken, (refused,) = reader.read(MediaFolders("pages", "/nowhere"), [url])

    assert not taken
    assert refused.reason == "image_not_fetched"
    assert "secret" not in f"{refused}"


def test_a_shown_url_has_no_user_and_no_query() -> None:
    assert shown_url("https://u:p@shop.example:8443/a.png?token=t#f") == (
        "https://shop.example:8443/a.png?..."
    )


def test_urls_are_refused_unless_the_configuration_allows_them() -> None:
    reader = MediaReader(IngestConfig())

    _, (refused,) = reader.read(MediaFolders("pages", "/"), ["https://shop.example/a.png?key=1"])

    assert (refused.path, refused.reason) == ("https://shop.example/a.png?...", "image_not_fetched")
    assert "[ingest] fetch_pictures = true" in refused.detail


def test_a_machine_without_files_refuses_no_picture(
    server: str, downloads: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(socket, "create_connection", fail)

    with pytest.raises(MachineFault):
        downloads().picture(f"{server}/good")


def test_an_entry_names_no_url(server: str, downloads: Callable, tmp_path: Path) -> None:
    downloads().picture(f"{server}/good?token=secret")

    (entry,) = (tmp_path / "media" / "urls").rglob("*.json")
    assert json.loads(entry.read_text()).keys() == {"picture", "checked"}
