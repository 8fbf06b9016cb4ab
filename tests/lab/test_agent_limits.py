# SPDX-License-Identifier: GPL-2.0-or-later
"""roostd's HTTP against those who ask for too much, too slowly or what is not theirs."""

import contextlib
import os
import re
import select
import signal
import socket
import time

import pytest

from cluster import loads, status, wait_healthy
from roostlab import wait_until

SERVER = os.path.join(os.path.dirname(__file__), "..", "..", "src/agent/server.c")
SOCKET = "/run/roost/roostd.sock"
METRICS = "http://127.0.0.1:9472"


@pytest.fixture(scope="module")
def node(make_lab):
    node = make_lab(nodes=1, tor=None, pods=0).node("node1")
    wait_healthy(node)
    return node


def endpoints():
    """[(path, method, on the Unix socket only)], from roostd's own table."""
    with open(SERVER, encoding="utf-8") as stream:
        rows = re.findall(r'\{"(/[\w/]*)", EVHTTP_REQ_(\w+), (true|false),', stream.read())
    assert len(rows) > 8
    return [(path, method, local == "true") for path, method, local in rows]


def curl(node, *argv):
    """The HTTP status, 0 when there was no answer."""
    out = node.exec(["curl", "-sS", "--max-time", "10", "-o", "/dev/null", "-w", "%{http_code}", *argv],
                    check=False).stdout
    return int(out or 0)


@contextlib.contextmanager
def inside_network(node):
    """This process in the node's network, for its TCP address."""
    with open("/proc/self/ns/net", "rb") as here, open(f"/proc/{node.pid}/ns/net", "rb") as there:
        setns(there.fileno())
        try:
            yield
        finally:
            setns(here.fileno())


def setns(fd):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.setns(fd, 0x40000000) == 0, os.strerror(ctypes.get_errno())


def connect(node, local):
    """A connection to the Unix socket or to the metrics address."""
    if local:
        client = socket.socket(socket.AF_UNIX)
        client.connect(node.path("root") + SOCKET)
        return client
    with inside_network(node):
        return socket.create_connection(("127.0.0.1", 9472), timeout=10)


# -- who may do what -----------------------------------------------------------

def test_what_changes_something_is_on_the_unix_socket_only(node):
    before = loads(node)
    for path, method, local in endpoints():
        assert method == "GET" or local, path
        for other in ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"):
            if other == "GET" and not local:
                continue
            data = ["-I"] if other == "HEAD" else ["-X", other, "-d", ""]
            answer = curl(node, *data, METRICS + path)
            if other not in ("GET", "POST"):
                want = 501
            else:
                want = 403 if other == method else 405
            assert answer == want, (other, path, answer)
    assert loads(node) == before


def test_the_unix_socket_is_its_groups(node):
    mode, gid = node.exec(["stat", "-c", "%a %g", SOCKET]).stdout.split()
    assert mode == "660"
    # A user of no right, and one whose second group is the socket's.
    ask = ["curl", "-sS", "--unix-socket", SOCKET, "-X", "POST", "-d", "", "http://roost/v1/apply"]
    anybody = ["setpriv", "--reuid=54321", "--regid=54321"]
    refused = node.exec([*anybody, "--clear-groups", *ask], check=False)
    assert refused.returncode != 0 and "unchanged" not in refused.stdout
    assert "unchanged" in node.exec([*anybody, f"--groups={gid}", *ask]).stdout


# -- too much ------------------------------------------------------------------

TOO_MUCH = {
    "a header line that does not end": (b"GET /healthz HTTP/1.1\r\nX: ", b"x" * 65536),
    "headers that do not end": (b"GET /healthz HTTP/1.1\r\n", b"X: y\r\n" * 10000),
    "a path that does not end": (b"GET /", b"x" * 65536),
    "a body as announced": (b"POST /v1/apply HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n", b"x" * 65536),
    "a body in chunks": (b"POST /v1/apply HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
                         b"1000\r\n" + b"x" * 4096 + b"\r\n"),
    "a length that is none": (b"POST /v1/apply HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b""),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 1000, b""),
}


@pytest.mark.parametrize("what", TOO_MUCH)
@pytest.mark.parametrize("local", [True, False], ids=["unix", "tcp"])
def test_too_much_is_refused_and_the_connection_closed(node, what, local):
    first, more = TOO_MUCH[what]
    pid = node.service_status()["roostd"]["pid"]
    with connect(node, local) as client:
        client.settimeout(10)
        answer = b""
        try:
            client.sendall(first)
            for _ in range(200 if more else 0):     # 13 MB, were it taken
                client.sendall(more)
            while chunk := client.recv(4096):
                answer += chunk
        except (BrokenPipeError, ConnectionResetError):
            pass                # it was not even listened to
        assert b"alive" not in answer and b"unchanged" not in answer
        assert answer[9:12] in (b"", b"400", b"413", b"501"), answer
    assert node.service_status()["roostd"]["pid"] == pid
    assert status(node)["health"] == "healthy"


SLOW = {
    "nothing": b"",
    "half a request line": b"GET /heal",
    "half a header": b"GET /healthz HTTP/1.1\r\nHost: x",
    "half a body": b"POST /v1/apply HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf",
}


def test_who_says_nothing_more_is_hung_up_on(node):
    clients = []
    with contextlib.ExitStack() as stack:
        for local in (True, False):
            for what, said in SLOW.items():
                client = stack.enter_context(connect(node, local))
                client.sendall(said)
                client.settimeout(60)
                clients.append((what, client))
        begin = time.monotonic()
        assert status(node)["health"] == "healthy"
        for what, client in clients:
            try:
                while client.recv(4096):
                    pass
            except ConnectionResetError:
                pass
            except TimeoutError:
                pytest.fail(f"who said {what} is still waited for")
        assert time.monotonic() - begin > 5     # a slow network is not refused


# -- too many ------------------------------------------------------------------

def test_many_answers_that_nobody_reads_are_refused(node):
    """Each of them may be megabytes; here they are not there yet, because BIRD hangs."""
    node.kill_service("bird", signal.SIGSTOP)
    with contextlib.ExitStack() as stack:
        stack.callback(node.kill_service, "bird", signal.SIGCONT)
        clients = [stack.enter_context(connect(node, False)) for _ in range(33)]
        for client in clients:
            client.settimeout(20)
            client.sendall(b"GET /v1/routes HTTP/1.1\r\nHost: x\r\n\r\n")
        answered = select.select(clients, [], [], 5)[0]
        assert len(answered) == 1, "the others wait for BIRD"
        refused = answered[0]
        assert refused.recv(4096).startswith(b"HTTP/1.1 503 ")
        node.kill_service("bird", signal.SIGCONT)
        for client in clients:
            assert client is refused or client.recv(4096).startswith(b"HTTP/1.1 200 ")
    assert curl(node, METRICS + "/v1/routes") == 200


def test_many_connections_to_the_metrics_address_keep_nobody_from_working(node):
    service = node.services()["roostd"]
    node.stop_roostd()
    node.change_service("roostd", argv=["prlimit", "--nofile=128:128", *service["argv"]])
    node.start_roostd()
    wait_healthy(node)
    with contextlib.ExitStack() as stack:
        with inside_network(node):
            for _ in range(200):        # no more than 64 + 128 fit: the rest waits in vain
                client = stack.enter_context(socket.socket())
                client.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    client.connect(("127.0.0.1", 9472))
        fds = node.path("root") + f"/proc/{node.service_status()['roostd']['pid']}/fd"
        wait_until(lambda: len(os.listdir(fds)) >= 60, 20, "roostd has taken what it takes")
        # It can still read its file, ask BIRD, and be asked.
        before = status(node)["source"]
        node.write_config(node.read_config() + "session: {holdTime: 42}\n")
        wait_until(lambda: status(node)["source"] != before, 20, "the change was read")
        wait_healthy(node)
        assert 60 <= len(os.listdir(fds)) < 80
    wait_until(lambda: curl(node, METRICS + "/healthz") == 200, 20, "metrics are served again")
    node.stop_roostd()
    node.change_service("roostd", argv=service["argv"])
    node.start_roostd()
    wait_healthy(node)
