# SPDX-License-Identifier: GPL-2.0-or-later
"""A Kubernetes API server of the tests' own: scripted where a real one cannot be.

    with ApiServer(netns="rl-t1x0.api", address="192.168.1.240") as api:
        api.put("nodes", kubeobjects.node("node1", ["192.168.1.11"], ["10.244.1.0/24"]))
        api.on(unavailable(503, retry_after=1), verb="list", times=2)
        ...
        assert api.count(verb="list") == 3

It lives in threads of the test's process, so a scenario is a few calls; only its sockets
are in a namespace.  Objects are kept as bytes that were encoded once: 5000 Nodes are
as quick to send as a file.  What it says is what a real one said (kubernetes-api/README.md):
the same pages, bookmarks, Status bodies, and 410 both as a status and as an event.

It keeps its objects while stop()ped; start() is the same server again.
"""

import base64
import bisect
import collections
import contextlib
import ctypes
import gzip
import json
import os
import select
import socket
import ssl
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

FIRST_VERSION = 1000
GZIP_FROM = 128 << 10       # as the real one: smaller answers are sent as they are
CLONE_NEWNET = 0x40000000


def encode(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


# -- objects -------------------------------------------------------------------

class Stored:
    """One version of an object; never changed, only replaced."""
    __slots__ = ("data", "version", "raw")

    def __init__(self, data, version):
        self.data = {**data, "metadata": {**data["metadata"], "resourceVersion": str(version)}}
        self.version = version
        self.raw = encode(self.data)

    @property
    def labels(self):
        return self.data["metadata"].get("labels") or {}


Event = collections.namedtuple("Event", "version type new old")


class Resource:
    """What the server has of one kind, and what happened to it."""

    def __init__(self, api_version, kind, empty=None):
        self.api_version, self.kind = api_version, kind
        self.head = encode({"kind": kind, "apiVersion": api_version})[:-1]
        self.empty = empty or {}
        self.objects = {}       # "name" or "namespace/name" -> Stored
        self.log = []           # Event, oldest first
        self.dropped = 0        # events no longer in the log
        self.oldest = FIRST_VERSION     # a watch can start from here on
        self.pages = {}         # resourceVersion -> [(key, Stored)] of unfinished lists

    def line(self, type, stored):
        return b'{"type":"%s","object":%s,%s}\n' % (type.encode(), self.head, stored.raw[1:])

    def bookmark(self, version):
        return encode({"type": "BOOKMARK", "object": {
            "kind": self.kind, "apiVersion": self.api_version,
            "metadata": {"resourceVersion": str(version), "creationTimestamp": None},
            **self.empty}}) + b"\n"


def _resources():
    info = ("machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion",
            "kubeletVersion", "kubeProxyVersion", "operatingSystem", "architecture")
    return {
        "nodes": Resource("v1", "Node", {"spec": {}, "status": {
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}}, "nodeInfo": dict.fromkeys(info, "")}}),
        "services": Resource("v1", "Service", {"spec": {}, "status": {"loadBalancer": {}}}),
        "endpointslices": Resource("discovery.k8s.io/v1", "EndpointSlice",
                                   {"addressType": "", "endpoints": None, "ports": None}),
        "events": Resource("v1", "Event"),
    }


def key_of(data):
    meta = data["metadata"]
    return f"{meta['namespace']}/{meta['name']}" if "namespace" in meta else meta["name"]


class Selector:
    """fieldSelector on metadata.name and labelSelector: equality, as the client needs it."""

    def __init__(self, query):
        self.name = None
        self.labels = []        # (key, value or None, wanted equal)
        for term in filter(None, query.get("fieldSelector", "").split(",")):
            key, _, value = term.replace("==", "=").partition("=")
            if key != "metadata.name":
                raise ValueError(f'field label not supported: "{key}"')
            self.name = value
        for term in filter(None, query.get("labelSelector", "").split(",")):
            if "!=" in term:
                key, value = term.split("!=")
                self.labels.append((key, value, False))
            elif "=" in term:
                key, value = term.replace("==", "=").split("=")
                self.labels.append((key, value, True))
            else:
                self.labels.append((term.lstrip("!"), None, not term.startswith("!")))

    def matches(self, stored):
        if stored is None or (self.name is not None and stored.data["metadata"]["name"] != self.name):
            return False
        return all((stored.labels.get(key) == value if value is not None else key in stored.labels) == equal
                   for key, value, equal in self.labels)


# -- answers that a scenario may ask for ------------------------------------------
#
# An action gets the Exchange.  It answers and returns True, or changes how the
# exchange goes on and returns False.

def status(code, reason, message, details=None, headers=None):
    """An error as the API server words it."""
    body = encode({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                   "message": message, "reason": reason,
                   **({"details": details} if details else {}), "code": code}) + b"\n"
    return body_of(body, code, headers=headers)


def unavailable(code, retry_after=None, message="the server is currently unable to handle the request"):
    """429, 500, 503."""
    reason = {429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}[code]
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    details = {} if retry_after is None else {"retryAfterSeconds": retry_after}
    return status(code, reason, message, details, headers)


def expired(version=1):
    """410 as a status, for a list with an old continue token."""
    return status(410, "Expired", "The provided continue parameter is too old to display a consistent "
                  f"list result. You can start a new list without the continue parameter. ({version})")


def forbidden(user, verb, resource, group=""):
    return status(403, "Forbidden", f'{resource} is forbidden: User "{user}" cannot {verb} resource '
                  f'"{resource}" in API group "{group}" at the cluster scope', {"kind": resource})


def body_of(body, code=200, content_type="application/json", headers=None):
    """These bytes as the whole answer; an iterable of bytes is sent piece by piece."""
    def action(exchange):
        exchange.begin(code, content_type, None if not isinstance(body, bytes) else len(body), headers)
        for piece in (body,) if isinstance(body, bytes) else body:
            exchange.send(piece)
        exchange.finish()
        return True
    return action


def stream(*pieces, then_open=True, headers=None):
    """A watch that says just this, and then nothing (or ends)."""
    def action(exchange):
        exchange.begin(200, "application/json", None, headers)
        with exchange.counted():
            for piece in pieces:
                exchange.send(piece)
            if then_open:
                exchange.idle()
        exchange.finish()
        return True
    return action


def raw(data, then_open=False):
    """Bytes on the connection that need not be HTTP."""
    def action(exchange):
        exchange.out.send(data)
        if then_open:
            exchange.idle()
        exchange.close_connection = True
        return True
    return action


def cut(after):
    """The usual answer, but the connection ends after so many bytes of it, head and all."""
    def action(exchange):
        exchange.out.left = after
        return False
    return action


def slow(piece=1, pause=0.0):
    """The usual answer in pieces of so many bytes, each a packet of its own."""
    def action(exchange):
        exchange.out.piece, exchange.out.pause = piece, pause
        return False
    return action


def hang():
    """No answer at all, until the client gives up."""
    def action(exchange):
        exchange.idle()
        exchange.close_connection = True
        return True
    return action


# -- the server ----------------------------------------------------------------

@dataclass
class Request:
    client: str         # address
    user: str
    method: str
    verb: str           # get, list, watch, create, patch, ...
    resource: str       # "nodes", or the path when it is none of ours
    name: str
    query: dict
    headers: dict
    body: bytes = b""
    time: float = field(default_factory=time.monotonic)


@dataclass
class Client:
    """What one address has had."""
    requests: int = 0
    connections: int = 0
    bytes_sent: int = 0
    watches: int = 0    # open now


class Rule:
    def __init__(self, action, times, match):
        self.action, self.times, self.match = action, times, match
        self.hits = 0

    def wants(self, request):
        return self.hits != self.times and matches(request, self.match)


def matches(request, match):
    """match: values of Request's members, or functions of a value; "query" may be of the whole."""
    return all(want(getattr(request, key)) if callable(want) else getattr(request, key) == want
               for key, want in match.items())


class ClosedError(Exception):
    """The other side, or the scenario, has ended the connection."""


class ApiServer:
    """See the module's text.  tls: an ssl.SSLContext (kubefiles.Pki.server_context())."""

    def __init__(self, netns=None, address="127.0.0.1", port=0, tls=None):
        self.netns, self.address, self.port, self.tls = netns, address, port, tls
        self.resources = _resources()
        self.version = FIRST_VERSION
        self.changed = threading.Condition()    # guards everything below
        self.rules = []
        self.requests = []
        self.clients = collections.defaultdict(Client)
        self.handshake_failures = []
        self.patches = []           # (node, subresource, body)
        self.tokens = None          # {token: user}; None: everybody may do everything
        self.denied = set()         # (verb, resource)
        self.gzip = True
        self.page = None            # pages are no larger than this
        self.bookmark_s = 60        # as often as the real one
        self.hushed = 0             # watches opened before are silent: counts up
        self._listener = None
        self._connections = {}      # Exchange's raw socket -> None
        self._threads = []

    # -- life ------------------------------------------------------------------

    def start(self):
        if self._listener:
            return self
        self._listener = listen(self.netns, self.address, self.port)
        self.port = self._listener.getsockname()[1]
        self._thread(self._accept, self._listener)
        return self

    def stop(self):
        """As if it was killed: the port is closed, and every connection ends."""
        listener, self._listener = self._listener, None
        if listener:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.drop_connections()
        for thread in self._threads:
            thread.join(10)
        self._threads = []

    def drop_connections(self, client=None):
        with self.changed:
            for connection, peer in list(self._connections.items()):
                if client in (None, peer):
                    _shutdown(connection)
            self.changed.notify_all()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    @property
    def url(self):
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"

    def _thread(self, target, *args):
        thread = threading.Thread(target=target, args=args, daemon=True)
        thread.start()
        self._threads = [t for t in self._threads if t.is_alive()] + [thread]

    def _accept(self, listener):
        while True:
            try:
                connection, peer = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._thread(self._talk, connection, peer[0])

    def _talk(self, connection, peer):
        # A second descriptor, so that it can be shut down, and looked at, below TLS.
        below = socket.socket(fileno=os.dup(connection.fileno()))
        with self.changed:
            self._connections[below] = peer
            self.clients[peer].connections += 1
        try:
            if self.tls:
                connection.settimeout(30)
                connection = self.tls.wrap_socket(connection, server_side=True)
                connection.settimeout(None)
            Exchange(self, connection, below, peer)
        except ssl.SSLError as error:
            with self.changed:
                self.handshake_failures.append(str(error))
        except (ClosedError, OSError, ValueError):
            pass
        finally:
            with self.changed:
                del self._connections[below]
            _shutdown(below)
            below.close()
            connection.close()

    # -- objects ---------------------------------------------------------------

    def put(self, plural, data):
        """Creates or replaces an object, which every watch is told of."""
        resource = self.resources[plural]
        with self.changed:
            old = resource.objects.get(key_of(data))
            self.version += 1
            new = Stored(data, self.version)
            resource.objects[key_of(data)] = new
            resource.log.append(Event(self.version, "MODIFIED" if old else "ADDED", new, old))
            self.changed.notify_all()

    def get(self, plural, key):
        """The object as it is now; change a copy and put() that."""
        return self.resources[plural].objects[key].data

    def delete(self, plural, key):
        resource = self.resources[plural]
        with self.changed:
            old = resource.objects.pop(key)
            self.version += 1
            resource.log.append(Event(self.version, "DELETED", Stored(old.data, self.version), old))
            self.changed.notify_all()

    def bookmark(self, plural="nodes"):
        """Every open watch that allows it is told the current version, whatever it knows."""
        with self.changed:
            self.resources[plural].log.append(Event(self.version, "BOOKMARK", None, None))
            self.changed.notify_all()

    def compact(self):
        """What happened until now is forgotten: who watches or pages from before gets 410."""
        with self.changed:
            self.version += 1       # as other objects' changes do, so that "now" is newer
            for resource in self.resources.values():
                resource.dropped += len(resource.log)
                resource.log.clear()
                resource.pages.clear()
                resource.oldest = self.version
            self.changed.notify_all()

    def restore(self, version):
        """What there is comes from a backup of that version.  Who watches from a later one hears
        nothing until that is reached, as with a real one."""
        with self.changed:
            self.version = version
            for resource in self.resources.values():
                resource.objects = {key: Stored(old.data, version) for key, old in resource.objects.items()}
                resource.dropped += len(resource.log)
                resource.log.clear()
                resource.pages.clear()
                resource.oldest = version
            self.changed.notify_all()

    # -- scenarios -------------------------------------------------------------

    def on(self, action, times=1, **match):
        """The next `times` requests that match get this; None: all until calm()."""
        rule = Rule(action, times, match)
        with self.changed:
            self.rules.append(rule)
        return rule

    def calm(self):
        with self.changed:
            self.rules.clear()

    def deny(self, verb, resource):
        """As if RBAC did not permit it."""
        self.denied.add((verb, resource))

    def hush(self):
        """Every watch that is open stays open and says nothing any more."""
        with self.changed:
            self.hushed += 1

    # -- looking ---------------------------------------------------------------

    def seen(self, **match):
        """The requests that match, in order."""
        with self.changed:
            return [request for request in self.requests if matches(request, match)]

    def count(self, **match):
        return len(self.seen(**match))

    def watches(self, client=None):
        """How many are open."""
        with self.changed:
            return sum(c.watches for address, c in self.clients.items() if client in (None, address))

    def events(self):
        """The Events that were posted."""
        with self.changed:
            return [stored.data for stored in self.resources["events"].objects.values()]


def in_netns(netns, make):
    """What make() returns in a namespace.  A thread goes there: a socket stays where it was made."""
    made = []

    def enter():
        try:
            if netns:
                with open(f"/run/netns/{netns}", "rb") as there:
                    if ctypes.CDLL(None, use_errno=True).setns(there.fileno(), CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), f"setns {netns}")
            made.append(make())
        except OSError as error:
            made.append(error)
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if isinstance(made[0], OSError):
        raise made[0]
    return made[0]


def listen(netns, address, port):
    """A listening socket in a namespace."""
    def make():
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(128)
        return listener
    return in_netns(netns, make)


def _shutdown(connection):
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


class Output:
    """Where an answer's bytes go; cuts and slows as the scenario wants."""

    def __init__(self, connection, client, lock):
        self.connection, self.client, self.lock = connection, client, lock
        self.usual()

    def usual(self):
        self.left, self.piece, self.pause = None, None, 0.0

    def send(self, data):
        if self.left is not None:
            data = data[:self.left]
            self.left -= len(data)
        step = self.piece or len(data) or 1
        for start in range(0, len(data), step):
            self.connection.sendall(data[start:start + step] if step < len(data) else data)
            if self.pause:
                time.sleep(self.pause)
        with self.lock:
            self.client.bytes_sent += len(data)
        if self.left == 0:
            raise ClosedError


class Exchange(BaseHTTPRequestHandler):
    """One connection, and on it one request after the other."""

    protocol_version = "HTTP/1.1"

    # pylint: disable=super-init-not-called
    def __init__(self, api, connection, below, peer):
        self.api, self.connection, self.below = api, connection, below
        self.client_address = (peer, 0)
        self.client = api.clients[peer]
        self.out = Output(connection, self.client, api.changed)
        self.rfile, self.wfile = connection.makefile("rb"), connection.makefile("wb")
        self.chunked = False
        try:
            self.close_connection = False
            while not self.close_connection:
                self.handle_one_request()
        finally:
            self.rfile.close()

    def handle_one_request(self):
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        request = self.request = self._request()
        self.out.usual()
        with self.api.changed:
            self.api.requests.append(request)
            self.client.requests += 1
            rule = next((rule for rule in self.api.rules if rule.wants(request)), None)
            if rule:
                rule.hits += 1
        if not (rule and rule.action(self)):
            self._answer()(self)

    def _request(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        parts = [urllib.parse.unquote(part) for part in url.path.strip("/").split("/")]
        resource, name = url.path, ""
        for number, part in enumerate(parts[:5]):
            if part in self.api.resources:
                resource, name = part, "/".join(parts[number + 1:])
                break
        self.namespace = parts[parts.index("namespaces") + 1] if "namespaces" in parts[:-1] else None
        verb = {"POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}.get(
            self.command, "get" if name or resource not in self.api.resources else "list")
        if verb == "list" and query.get("watch", "0") in ("1", "true"):
            verb = "watch"
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return Request(self.client_address[0], self._user(), self.command, verb, resource, name, query,
                       dict(self.headers), body)

    def _user(self):
        """Who asks: by certificate, by token, or anonymous; None: a token nobody has."""
        certificate = self.connection.getpeercert() if self.api.tls else None
        if certificate:
            return dict(pair[0] for pair in certificate["subject"]).get("commonName", "")
        word, _, token = self.headers.get("Authorization", "").partition(" ")
        if word == "Bearer":
            return "roost" if self.api.tokens is None else self.api.tokens.get(token)
        return "system:anonymous"

    def log_message(self, *_):
        pass

    # -- sending ---------------------------------------------------------------

    def begin(self, code, content_type="application/json", length=None, headers=None):
        """The head.  Without a length the body is chunked; see send() and finish()."""
        self.chunked = length is None
        lines = [f"HTTP/1.1 {code} {self.responses.get(code, ('Unknown',))[0]}",
                 f"Content-Type: {content_type}", "Cache-Control: no-cache, private",
                 "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}",
                 *(f"{key}: {value}" for key, value in (headers or {}).items())]
        self.out.send(("\r\n".join(lines) + "\r\n\r\n").encode())

    def send(self, data):
        if not self.chunked:
            self.out.send(data)
        elif data:
            self.out.send(b"%x\r\n" % len(data) + data + b"\r\n")

    def finish(self):
        if self.chunked:
            self.out.send(b"0\r\n\r\n")

    def has_left(self):
        """The client has closed, or begins to by TLS: during an answer it has nothing to say."""
        return bool(select.select([self.below], [], [], 0)[0])

    def idle(self):
        """Says nothing until the client goes or the server is stopped."""
        select.select([self.below], [], [])
        raise ClosedError

    @contextlib.contextmanager
    def counted(self):
        """As an open watch."""
        with self.api.changed:
            self.client.watches += 1
        try:
            yield
        finally:
            with self.api.changed:
                self.client.watches -= 1

    # -- answering -------------------------------------------------------------

    def _answer(self):
        """The action that answers the request as it should be."""
        request, api = self.request, self.api
        if request.user is None:
            return status(401, "Unauthorized", "Unauthorized")
        if api.tokens is not None and request.user == "system:anonymous":
            return forbidden(request.user, request.verb, request.resource)
        if request.resource not in api.resources:
            return self._other()
        base, _, subresource = request.name.partition("/")
        resource = api.resources[request.resource]
        if (request.verb, f"{request.resource}/{subresource}" if subresource else request.resource) \
                in api.denied:
            return forbidden(request.user, request.verb, request.resource,
                             resource.api_version.rpartition("/")[0])
        try:
            return {"list": self._list, "watch": self._watch, "get": self._get, "create": self._create,
                    "patch": self._patch}[request.verb](resource, base, subresource)
        except KeyError:
            return status(405, "MethodNotAllowed", "the server does not allow this method")
        except ValueError as error:
            return status(400, "BadRequest", str(error))

    def _other(self):
        if self.request.resource == "/version":
            return body_of(encode({"major": "1", "minor": "32", "gitVersion": "v1.32.13"}))
        if self.request.resource in ("/livez", "/readyz", "/healthz"):
            return body_of(b"ok", content_type="text/plain; charset=utf-8")
        return status(404, "NotFound", "the server could not find the requested resource")

    def _get(self, resource, name, _subresource):
        stored = resource.objects.get(f"{self.namespace}/{name}" if self.namespace else name)
        if not stored:
            return status(404, "NotFound", f'{self.request.resource} "{name}" not found',
                          {"name": name, "kind": self.request.resource})
        return body_of(resource.head + b"," + stored.raw[1:])

    def _create(self, resource, *_):
        data = json.loads(self.request.body)
        meta = data["metadata"]
        meta.setdefault("namespace", self.namespace)
        if "name" not in meta:
            meta["name"] = f"{meta['generateName']}{self.api.version:x}"
        if key_of(data) in resource.objects:
            return status(409, "AlreadyExists", f'{self.request.resource} "{meta["name"]}" already exists',
                          {"name": meta["name"], "kind": self.request.resource})
        self.api.put(self.request.resource, data)
        return body_of(self.request.body, 201)

    def _patch(self, resource, name, subresource):
        patch = json.loads(self.request.body)
        if name not in resource.objects:
            return self._get(resource, name, subresource)
        with self.api.changed:
            self.api.patches.append((name, subresource, patch))
            self.api.put(self.request.resource, merged(resource.objects[name].data, patch))
        return self._get(resource, name, "")

    # -- list ------------------------------------------------------------------

    def _list(self, resource, *_):
        query, selector = self.request.query, Selector(self.request.query)
        # As the real one: "0" is answered from a cache, which knows no pages.
        limit = 0 if query.get("resourceVersion") == "0" else int(query.get("limit") or 0)
        limit = min(limit or self.api.page, self.api.page) if self.api.page else limit
        with self.api.changed:
            version, found = self.api.version, None
            if query.get("continue"):
                version, start = _token(query["continue"])
                if version not in resource.pages:
                    return expired(version)
                found = [pair for pair in resource.pages[version] if pair[0] > start]
            else:
                found = sorted(pair for pair in resource.objects.items() if selector.matches(pair[1]))
            page, rest = (found[:limit], found[limit:]) if limit else (found, [])
            meta = {"resourceVersion": str(version)}
            if rest:
                resource.pages.setdefault(version, found)
                meta["continue"] = _make_token(version, page[-1][0])
                if not (selector.name or selector.labels):
                    meta["remainingItemCount"] = len(rest)
        head = encode({"kind": resource.kind + "List", "apiVersion": resource.api_version,
                       "metadata": meta})[:-1]
        return self._compressed([head, b',"items":[', b",".join(pair[1].raw for pair in page), b"]}\n"])

    def _compressed(self, pieces):
        size = sum(map(len, pieces))
        if self.api.gzip and size >= GZIP_FROM and "gzip" in self.headers.get("Accept-Encoding", ""):
            return body_of([gzip.compress(b"".join(pieces), 4)], headers={"Content-Encoding": "gzip"})
        return body_of(pieces)

    # -- watch -----------------------------------------------------------------

    def _watch(self, resource, *_):
        Selector(self.request.query)        # a bad one is a 400
        if self.request.query.get("sendInitialEvents") == "true":
            return stream(recorded("nodes-watchlist.ndjson"), then_open=False)
        return lambda exchange: self._follow(resource)

    def _follow(self, resource):
        query, selector = self.request.query, Selector(self.request.query)
        seconds = int(query.get("timeoutSeconds") or 0)
        deadline = time.monotonic() + seconds if seconds else None
        bookmarks = query.get("allowWatchBookmarks") in ("1", "true")
        known = int(query.get("resourceVersion") or 0)
        heard = time.monotonic()
        self.begin(200)
        hushed = self.api.hushed
        with self.counted():
            at, lines = self._first_events(resource, query.get("resourceVersion", ""), selector)
            self.send(b"".join(lines))
            while at is not None:
                at, lines, version = self._next_events(resource, at, known, selector, deadline)
                if self.api.hushed != hushed:
                    self.idle()
                over = deadline and time.monotonic() >= deadline
                if bookmarks and version >= known and (over or time.monotonic() >= heard + self.api.bookmark_s):
                    lines.append(resource.bookmark(version))
                    heard = time.monotonic()
                self.send(b"".join(lines))
                if over:
                    at = None
        self.finish()
        return True

    def _first_events(self, resource, version, selector):
        """Where in the log to go on, None if the watch is over, and what to say before."""
        with self.api.changed:
            end = resource.dropped + len(resource.log)
            if version in ("", "0"):
                have = [pair[1] for pair in sorted(resource.objects.items()) if selector.matches(pair[1])]
                return end, [resource.line("ADDED", stored) for stored in have]
            if int(version) < resource.oldest:
                return None, [error_event(410, "Expired", f"too old resource version: {version} "
                                                          f"({resource.oldest})")]
            known = bisect.bisect_right(resource.log, int(version), key=lambda event: event.version)
            return resource.dropped + known, []

    def _next_events(self, resource, at, known, selector, deadline):
        """Waits for some newer than `known`; none when it was woken for something else.  And which
        version that is."""
        with self.api.changed:
            if at >= resource.dropped + len(resource.log):
                wait = 0.2 if deadline is None else min(0.2, max(0, deadline - time.monotonic()))
                self.api.changed.wait(wait)
            if self.has_left():
                raise ClosedError
            events = resource.log[max(0, at - resource.dropped):]
            at, version = resource.dropped + len(resource.log), self.api.version
        lines = (self._line(resource, event, selector) for event in events
                 if event.version > known or event.type == "BOOKMARK")
        return at, [line for line in lines if line], version

    def _line(self, resource, event, selector):
        """An event as this watch sees it: what no longer matches is deleted to it."""
        if event.type == "BOOKMARK":
            allowed = self.request.query.get("allowWatchBookmarks") in ("1", "true")
            return resource.bookmark(event.version) if allowed else None
        before = selector.matches(event.old)
        after = event.type != "DELETED" and selector.matches(event.new)
        if not before and not after:
            return None
        if not after:
            return resource.line("DELETED", event.new if event.type == "DELETED"
                                 else Stored(event.old.data, event.version))
        return resource.line("MODIFIED" if before else "ADDED", event.new)


def error_event(code, reason, message):
    return encode({"type": "ERROR", "object": {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
        "reason": reason, "code": code}}) + b"\n"


def _make_token(version, start):
    return base64.urlsafe_b64encode(encode({"v": "meta.k8s.io/v1", "rv": version, "start": start})
                                    ).decode().rstrip("=")


def _token(text):
    try:
        token = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        return token["rv"], token["start"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"invalid continue token: {error}") from None


def listed_version(token):
    """The resourceVersion of the list that a `continue` belongs to."""
    return str(_token(token)[0])


def merged(data, patch):
    """A strategic merge as far as Nodes need it: maps by key, conditions by type."""
    if not isinstance(data, dict) or not isinstance(patch, dict):
        return patch
    result = dict(data)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif key == "conditions" and isinstance(value, list):
            old = {entry["type"]: entry for entry in data.get(key) or []}
            for entry in value:
                old[entry["type"]] = {**old.get(entry["type"], {}), **entry}
            result[key] = list(old.values())
        else:
            result[key] = merged(data.get(key), value)
    return result


def recorded(name):
    """A file of a real API server, byte for byte."""
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "kubernetes-api")
    with open(os.path.join(folder, name), "rb") as stream_:
        return stream_.read()
