"""A toy of an ACME CA on loopback that believes everybody, so that tests can make it answer anything."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

_PROBLEM = "application/problem+json"
_URN = "urn:ietf:params:acme:error:"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the CA sends."""

    status: int = 200
    body: bytes = b""
    kind: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


def json_answer(document: object, status: int = 200, **headers: str) -> Answer:
    """Make an answer; underscores in the names of headers stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, body=json.dumps(document).encode(), headers=named)


def problem(code: str, detail: str = "", status: int = 400, *, also: Mapping[str, object] | None = None) -> Answer:
    """Make a problem document; ``also``: more of its members."""
    document = {"type": f"{_URN}{code}", "detail": detail, **(also or {})}
    return Answer(status=status, body=json.dumps(document).encode(), kind=_PROBLEM)


@dataclass
class ToyCa:
    """Signs nothing: ``certificate`` is what it always delivers.

    ``instead``: answers by resource (``new-order``, ``order``, ``authz`` …), each given once before the usual ones.
    ``asked``: resource and payload of every request. ``terms``: whether it has some. ``renewals``: the answer to
    questions about renewal; None offers none. ``validates``: the status that a proof ends with.
    """

    certificate: bytes = b""
    names: tuple[str, ...] = ("core1.example.com",)
    instead: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)
    terms: bool = True
    renewals: Answer | None = None
    validates: str = "valid"
    challenges: tuple[str, ...] = ("http-01", "dns-01")
    alternates: tuple[bytes, ...] = ()
    order: str = "pending"
    authorization: str = "pending"

    def __enter__(self) -> Self:
        toy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet an answer: otherwise each waits 40 ms for the other side

            def log_message(self, *_: object) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                self._send(None)

            def do_HEAD(self) -> None:
                self._send(None)

            def do_POST(self) -> None:
                content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                payload = base64.urlsafe_b64decode(content["payload"] + "==")
                self._send(json.loads(payload) if payload else None)

            def _send(self, payload: object) -> None:
                answer = toy.answer(self.path.strip("/"), payload)
                self.send_response(answer.status)
                sent = {"Content-Type": answer.kind, "Replay-Nonce": "bm9uY2U", **answer.headers}
                for name, value in sent.items():
                    if value:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def directory(self) -> str:
        """Where ACME begins."""
        return f"{self.url}/directory"

    def requests(self, resource: str) -> list[Any]:
        """Return what a resource was sent."""
        return [payload for name, payload in self.asked if name == resource]

    def answer(self, path: str, payload: object) -> Answer:
        """Answer a request."""
        resource = path.partition("/")[0]
        self.asked.append((resource, payload))
        if self.instead.get(resource):
            return self.instead[resource].pop(0)
        usual: dict[str, Answer] = {
            "directory": json_answer(self._offers()),
            "new-nonce": Answer(),
            "new-account": json_answer({"status": "valid"}, 201, Location=f"{self.url}/account/1"),
            "account": json_answer({"status": "valid"}),
        }
        if resource in usual:
            return usual[resource]
        return self._delivered(resource) or self._of_order(resource)

    def _delivered(self, resource: str) -> Answer | None:
        chain = "application/pem-certificate-chain"
        if resource == "certificate":
            links = ", ".join(f'<{self.url}/alternate/{at}>;rel="alternate"' for at in range(len(self.alternates)))
            return Answer(body=self.certificate, kind=chain, headers={"Link": links})
        if resource == "alternate":
            return Answer(body=self.alternates[0], kind=chain)
        return self.renewals if resource == "renewal-info" else None

    def _offers(self) -> dict[str, object]:
        offers: dict[str, object] = {
            name: f"{self.url}/{path}"
            for name, path in {"newNonce": "new-nonce", "newAccount": "new-account", "newOrder": "new-order"}.items()
        }
        if self.renewals is not None:
            offers["renewalInfo"] = f"{self.url}/renewal-info/"
        if self.terms:
            offers["meta"] = {"termsOfService": "https://ca.example.net/terms"}
        return offers

    def _of_order(self, resource: str) -> Answer:
        if resource == "challenge":
            self.authorization = self.validates
            self.order = {"valid": "ready", "invalid": "invalid"}.get(self.validates, "pending")
            return json_answer(self._challenge("dns-01"))
        if resource == "authz":
            return json_answer(self._authz())
        if resource == "finalize":
            self.order = "valid"
        if resource not in {"new-order", "order", "finalize"}:
            return Answer(status=404, body=b"nothing here", kind="text/plain")
        return json_answer(self._order(), 201 if resource == "new-order" else 200, Location=f"{self.url}/order/1")

    def _order(self) -> dict[str, object]:
        document: dict[str, object] = {
            "status": self.order,
            "identifiers": [{"type": "dns", "value": name} for name in self.names],
            "authorizations": [f"{self.url}/authz/1"],
            "finalize": f"{self.url}/finalize/1",
        }
        if self.order == "valid":
            document["certificate"] = f"{self.url}/certificate/1"
        return document

    def _authz(self) -> dict[str, object]:
        return {
            "status": self.authorization,
            "identifier": {"type": "dns", "value": self.names[0]},
            "challenges": [self._challenge(kind) for kind in self.challenges],
        }

    def _challenge(self, kind: str) -> dict[str, object]:
        token = base64.urlsafe_b64encode(b"0" * 32).rstrip(b"=").decode()
        found: dict[str, object] = {"type": kind, "url": f"{self.url}/challenge/1", "token": token, "status": "pending"}
        if self.authorization == "invalid" and kind == "dns-01":
            found |= {"status": "invalid", "error": {"type": f"{_URN}dns", "detail": "no TXT record found"}}
        return found
