"""What goes wrong with an ACME CA is told in one bounded sentence, in its words and ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from acme import messages
from requests import exceptions

from cmscert.issue.acme_wire import Wire, wait_of
from cmscert.issue.acme_words import FAILURES, Told, told
from cmscert.testing.toy_acme import Answer, ToyCa, json_answer, problem

DIRECTORY = "https://user:hunter2@ca.example.net/directory"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def toy() -> Iterator[ToyCa]:
    """A toy CA."""
    with ToyCa() as started:
        yield started


def asked(toy: ToyCa, answer: Answer | None = None, **more: object) -> Told:
    """Ask a CA for its directory, which it answers badly, and tell it."""
    toy.instead["directory"] = [answer] if answer is not None else []
    wire = Wire(toy.directory, **more)  # type: ignore[arg-type]  # its keywords
    try:
        assert wire.directory
        assert wire.offers("newOrder")
    except FAILURES as error:
        return told(error, wire.url, wait=wire.wait(NOW))
    finally:
        wire.close()
    raise AssertionError("nothing went wrong")


def test_subproblems_are_told_by_name() -> None:
    """Each name has its own reason, and none is told twice; control characters never get through."""
    document = {
        "type": "urn:ietf:params:acme:error:compound",
        "subproblems": [
            {
                "type": "urn:ietf:params:acme:error:caa",
                "detail": "CAA forbids it.\u001b[31m",
                "identifier": {"type": "dns", "value": name},
            }
            for name in ("a.example.com", "b.example.com", "a.example.com")
        ],
    }
    found = told(messages.Error.from_json(document), DIRECTORY)

    assert found.message == ("the CA says: a.example.com: CAA forbids it (caa); b.example.com: CAA forbids it (caa)")
    assert found.code == "compound"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            {"type": "urn:ietf:params:acme:error:userActionRequired", "detail": "see https://x"},
            "see https://x (userActionRequired)",
        ),
        ({"type": "about:blank", "title": "Teapot"}, "Teapot (blank)"),
        ({"type": "urn:ietf:params:acme:error:caa"}, "Certification Authority Authorization"),
        ({"type": "x"}, "nothing more (x)"),
    ],
)
def test_problems(document: dict[str, str], message: str) -> None:
    """Whatever a CA leaves out, what it says is told."""
    assert message in told(messages.Error.from_json(document), DIRECTORY).message


def test_long_words() -> None:
    """What a CA says is cut off."""
    error = messages.Error.from_json({"type": "x", "detail": "long " * 1000})

    assert len(told(error, DIRECTORY).message) < 600


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (exceptions.ProxyError("http://user:hunter2@proxy"), "ca.example.net cannot be reached: the proxy refuses"),
        (exceptions.SSLError("x"), "the TLS certificate of ca.example.net is not trusted"),
        (exceptions.ReadTimeout("x"), "ca.example.net does not answer in time"),
        (exceptions.ConnectionError("x"), "ca.example.net cannot be reached"),
        (exceptions.InvalidURL("hunter2"), "ca.example.net cannot be asked: InvalidURL"),
        (OSError("no bundle"), "no TLS to ca.example.net: the bundle cannot be read"),
        (ValueError("hunter2"), "ca.example.net answers what is not ACME"),
    ],
)
def test_what_the_network_does(error: Exception, message: str) -> None:
    """Nothing that a library says about addresses gets through: they may hold passwords."""
    found = told(error, DIRECTORY)

    assert found.message == message
    assert "hunter2" not in f"{found.message} {found.hint}"


@pytest.mark.parametrize(
    ("answer", "words", "code"),
    [
        (Answer(status=404, kind="text/html", body=b"<p>"), "answers with HTTP 404", "notFound"),
        (Answer(status=500), "answers with HTTP 500", None),
        (Answer(kind="text/html", body=b"<p>welcome"), "answers with HTTP 200|what is not ACME", None),
        (json_answer({"type": 7}, 400), "answers with HTTP 400|nothing more", None),
        (json_answer({"meta": 7}), "answers what is not ACME", None),
        (json_answer([]), "answers what is not ACME", None),
        (problem("serverInternal", "later"), r"the CA says: later \(serverInternal\)", "serverInternal"),
    ],
)
def test_answers_that_are_none(toy: ToyCa, answer: Answer, words: str, code: str | None) -> None:
    """An address where no ACME is spoken is told as such."""
    found = asked(toy, answer)

    assert re.search(words, found.message), found
    assert found.code == code or code is None


def test_a_directory_without_resources(toy: ToyCa) -> None:
    """A directory that offers nothing is told when something is asked for."""
    toy.instead["directory"] = [json_answer({})]
    wire = Wire(toy.directory)
    with pytest.raises(KeyError) as caught:
        wire.new_order(["a.example.com"])
    wire.close()

    assert "not ACME" in told(caught.value, toy.directory).message


def test_a_bundle_that_is_missing(tmp_path: Path) -> None:
    """The file that ca_bundle names is looked at before anybody is asked."""
    wire = Wire("https://localhost:1/directory", ca_bundle=tmp_path / "missing.pem")
    found = None
    try:
        wire.offers("newOrder")
    except FAILURES as error:
        found = told(error, wire.url)
    wire.close()

    assert found is not None
    assert "no TLS to localhost: " in found.message
    assert "ca_bundle" in str(found.hint)


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        (None, None),
        ("120", timedelta(minutes=2)),
        (" 0", timedelta()),
        ("Mon, 23 Nov 2026 12:00:30 GMT", timedelta(seconds=30)),
        ("Mon, 23 Nov 2026 11:00:00 GMT", timedelta()),
        ("Mon, 23 Nov 2026 11:00:00", None),
        ("in a while", None),
        ("9" * 30, None),
    ],
)
def test_retry_after(header: str | None, wait: timedelta | None) -> None:
    """Retry-After is seconds or a moment; anything else says nothing."""
    assert wait_of(header, NOW) == wait
