"""Fetching over HTTP from servers that are not trusted: bounded in time, bytes and addresses.

The standard library's client, over sockets of our own: each goes to an address that was checked,
so that a name cannot lead elsewhere a moment later, and is shut at the deadline, however slowly its
server sends.
"""

import http.client
import ipaddress
import socket
import ssl
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Timer
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from encoders.machine_faults import raise_machine_fault
from spark_jobs.ingest.media.folders import UnusableMedia
from spark_jobs.ingest_config import IngestConfig

NOT_FETCHED = "image_not_fetched"
_PORTS = {"http": 80, "https": 443}
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 3
_TRY_AGAIN = (408, 429, *range(500, 600))
_HEADERS = {"Accept": "image/*", "Accept-Encoding": "identity"}
_ATTEMPTS = 3
_FIRST_PAUSE = 0.5  # seconds; doubles
_CONNECT_SECONDS = 5
# Pictures in a row for which a server may not answer, each after all attempts.
_MOST_SILENT = 3
# Delimiters of a URL, and escapes that it has already.
_SAFE = "%/:=&?~#+!$,;'@()*[]"
# Addresses in IPv6 that stand for one in IPv4.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Unreachable(UnusableMedia):
    """A server did not answer, or answered that it cannot now: another night it may."""


@dataclass(frozen=True)
class Response:
    """An answer of a server: status 200 with its content, or 304."""

    status: int
    headers: Mapping[str, str]
    content: bytes


def shown_url(url: str) -> str:
    """Return a URL for messages and tables: without user, password, query and fragment."""
    try:
        parts = urlsplit(url)
        host = f"{parts.hostname}:{parts.port}" if parts.port else f"{parts.hostname}"
    except ValueError:
        return f"{url.partition(':')[0]}://..."
    return f"{parts.scheme}://{host}{parts.path}{'?...' if parts.query else ''}"


class Fetcher:
    """Fetches URLs within the limits of ``[ingest]``; it gives up on servers that do not answer."""

    def __init__(self, limits: IngestConfig) -> None:
        self._limits = limits
        self._silent: Counter[str] = Counter()

    def get(self, url: str, headers: Mapping[str, str]) -> Response:
        """Fetch a URL.

        Args:
            headers: of the request, such as If-None-Match.

        Raises:
            UnusableMedia: it may not be fetched, is too large, or the server has no such file.
            Unreachable: the server does not answer, or not in time.
            MachineFault: the machine is why.
        """
        host = checked_url(url).hostname or ""
        if self._silent[host] >= _MOST_SILENT:
            detail = f"{host!r} did not answer for {_MOST_SILENT} pictures in a row"
            raise Unreachable(NOT_FETCHED, f"{detail}. Run the night again when it does")
        try:
            response = self._with_retries(url, headers)
        except Unreachable:
            self._silent[host] += 1
            raise
        self._silent[host] = 0
        return response

    def _with_retries(self, url: str, headers: Mapping[str, str]) -> Response:
        deadline = time.monotonic() + self._limits.fetch_seconds
        problem = ""
        for attempt in range(_ATTEMPTS):
            pause = _FIRST_PAUSE * 2 ** (attempt - 1) if attempt else 0
            if time.monotonic() + pause >= deadline:
                break
            time.sleep(pause)
            try:
                return self._redirected(url, headers, deadline)
            except (OSError, http.client.HTTPException) as error:
                raise_machine_fault(error, shown_url(url))
                problem = f"{type(error).__name__}: {error}"[:200]
        if time.monotonic() >= deadline:
            problem = f"not there after {self._limits.fetch_seconds:g} s (ingest.fetch_seconds)"
        raise Unreachable(NOT_FETCHED, f"{shown_url(url)!r} cannot be fetched: {problem}")

    def _redirected(self, url: str, headers: Mapping[str, str], deadline: float) -> Response:
        for _ in range(_MOST_REDIRECTS + 1):
            response = self._answer(checked_url(url), headers, deadline)
            if response.status not in _REDIRECTS:
                return response
            url = urljoin(url, response.headers.get("location", ""))
        raise UnusableMedia(NOT_FETCHED, f"more than {_MOST_REDIRECTS} redirects")

    def _answer(self, url: SplitResult, headers: Mapping[str, str], deadline: float) -> Response:
        target = quote(url.path or "/", _SAFE) + (
            f"?{quote(url.query, _SAFE)}" if url.query else ""
        )
        with self._connection(url, deadline) as connection:
            connection.request("GET", target, headers={**_HEADERS, **headers})
            answer = connection.getresponse()
            if answer.status in _TRY_AGAIN:
                raise http.client.HTTPException(f"HTTP status {answer.status}")
            if answer.status not in (200, 304, *_REDIRECTS):
                detail = f"{shown_url(url.geturl())!r}: HTTP status {answer.status}"
                raise UnusableMedia(NOT_FETCHED, detail)
            content = self._content(answer, deadline) if answer.status == 200 else b""
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Response(answer.status, found, content)

    def _content(self, answer: http.client.HTTPResponse, deadline: float) -> bytes:
        most = self._limits.max_image_bytes
        content = answer.read(most + 1)
        if len(content) > most or (answer.length or 0) + len(content) > most:
            raise UnusableMedia("image_too_large", f"more than {most} bytes")
        # A connection that is shut at its deadline ends as one does that was closed by the server.
        if time.monotonic() >= deadline:
            raise TimeoutError("too slow")
        if answer.length:
            raise http.client.IncompleteRead(content, answer.length)
        return content

    @contextmanager
    def _connection(
        self, url: SplitResult, deadline: float
    ) -> Iterator[http.client.HTTPConnection]:
        host, port = url.hostname or "", url.port or _PORTS[url.scheme]
        of_scheme = {
            "http": http.client.HTTPConnection,
            "https": http.client.HTTPSConnection,
        }
        connection = of_scheme[url.scheme](host, port)
        connection.sock = connected = _connected(host, port, deadline, self._limits)
        if url.scheme == "https":
            connected = ssl.create_default_context().wrap_socket(
                connected, server_hostname=host, do_handshake_on_connect=False
            )
            connection.sock = connected
        timer = Timer(max(deadline - time.monotonic(), 0), _shut, [connected])
        timer.start()
        try:
            if isinstance(connected, ssl.SSLSocket):
                connected.do_handshake()
            yield connection
        finally:
            timer.cancel()
            connection.close()


def checked_url(url: str) -> SplitResult:
    """Split a URL that may be fetched.

    Raises:
        UnusableMedia: it is malformed, not http or https, or has a user or password.
    """
    try:
        parts = urlsplit(url.strip())
        has_port = parts.port != 0
        (parts.hostname or "").encode("idna")
    except ValueError as error:
        raise UnusableMedia(NOT_FETCHED, f"is no URL: {type(error).__name__}") from None
    if parts.scheme not in _PORTS:
        detail = f"the scheme should be http or https, but is {parts.scheme!r}"
        raise UnusableMedia(NOT_FETCHED, f"{detail}. Deliver a file, or one of these URLs")
    if not parts.hostname or not has_port:
        raise UnusableMedia(NOT_FETCHED, "is no URL: it names no host")
    if parts.username is not None or parts.password is not None:
        detail = "the URL has a user or password, which are not sent. Deliver a file"
        raise UnusableMedia(NOT_FETCHED, detail)
    return parts


def is_public(address: str) -> bool:
    """Return whether an IP address is of the public internet, also one in IPv6 that holds IPv4."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        held = [found.ipv4_mapped, found.sixtofour, *(found.teredo or ())]
        held += [ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)] if found in _NAT64 else []
        if any(inner is not None and not is_public(str(inner)) for inner in held):
            return False
    return found.is_global and not found.is_multicast


def _connected(host: str, port: int, deadline: float, limits: IngestConfig) -> socket.socket:
    """Connect to an address of a host, all of whose addresses were checked."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
    refused = [address for address in addresses if not is_public(address)]
    if refused and not limits.fetch_private_networks:
        raise UnusableMedia(
            NOT_FETCHED,
            f"{host!r} is at {', '.join(refused)}, which is not of the public internet. If it is a "
            "server of yours, set [ingest] fetch_private_networks = true",
        )
    problem: OSError = TimeoutError("no address answered")
    for address in addresses:
        seconds = min(_CONNECT_SECONDS, deadline - time.monotonic())
        if seconds <= 0:
            break
        try:
            connected = socket.create_connection((address, port), timeout=seconds)
        except OSError as error:
            problem = error
        else:
            connected.settimeout(limits.fetch_seconds)
            return connected
    raise problem


def _shut(connected: socket.socket) -> None:
    with suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)
