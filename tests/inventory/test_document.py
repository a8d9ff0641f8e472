from __future__ import annotations

import pytest
import yaml

from cmscert.errors import InputError
from cmscert.inventory import document
from cmscert.inventory.document import EXPANSION_LIMIT, MAX_DEPTH, Document, draw, parse


def refused(content: bytes | str) -> str:
    """Return the one fault that stops a document, as text."""
    with pytest.raises(InputError) as caught:
        parse(content.encode() if isinstance(content, str) else content, file="f.yaml")
    (fault,) = caught.value.faults
    return str(fault)


def read(text: str) -> Document:
    """Read a document."""
    return parse(text.encode(), file="f.yaml")


@pytest.fixture(params=["c", "python"])
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test with the C loader and with the fallback."""
    if request.param == "python":

        class Fallback(yaml.SafeLoader):
            depth = nodes = 0
            resolve = document._Composer.resolve
            descend_resolver = document._Composer.descend_resolver
            ascend_resolver = document._Composer.ascend_resolver

        monkeypatch.setattr(document, "_Composer", Fallback)
    return str(request.param)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 3.10", {"a": "3.10"}),
        (
            "a: NO\nb: on\nc: 2027-03-31\nd: 010\ne: 1:30",
            {"a": "NO", "b": "on", "c": "2027-03-31", "d": "010", "e": "1:30"},
        ),
        ("a: ''\nb: 'null'", {"a": "", "b": "null"}),
        ("a: !!str 1\nb: !!int 2\nc: ! 3", {"a": "1", "b": "2", "c": "3"}),
        ("on: 1\n3: 2", {"on": "1", "3": "2"}),
        ("- a\n- [b, {c: d}]", ["a", ["b", {"c": "d"}]]),
        ("just text", "just text"),
        ("\ufeffa: 1\r\nb: 2\r\n", {"a": "1", "b": "2"}),
        ("%YAML 1.1\n---\na: 1\n...\n", {"a": "1"}),
        ("a: ü\nb: |\n  x\n  y\n", {"a": "ü", "b": "x\ny\n"}),
    ],
)
@pytest.mark.usefixtures("loader")
def test_scalars_stay_text(text: str, value: object) -> None:
    """YAML 1.1's guesses are off: releases, countries and dates are what was written."""
    made = read(text)

    assert value == made.value
    assert made.faults == ()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}", {"a": {"b": "1", "c": "2"}, "d": {"b": "1", "c": "3"}}),
        (
            "a: &x {b: 1}\nc: &y {b: 2, d: 3}\ne: {<<: [*x, *y]}",
            {"a": {"b": "1"}, "c": {"b": "2", "d": "3"}, "e": {"b": "1", "d": "3"}},
        ),
        ("a: &x [1]\nb: *x", {"a": ["1"], "b": ["1"]}),
        ("a: &x {b: 1}\nc: {'<<': 2}", {"a": {"b": "1"}, "c": {"<<": "2"}}),
        ("a: {<<: {b: 1}, b: 2}", {"a": {"b": "2"}}),
    ],
)
@pytest.mark.usefixtures("loader")
def test_anchors_and_merge_keys_work(text: str, value: object) -> None:
    """An own key wins over a merged one, an earlier merged mapping over a later one."""
    assert value == read(text).value


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "f.yaml:1:1: the file is empty"),
        (b"# nothing\n", "f.yaml:1:1: the file is empty"),
        (b"a: \xff", "f.yaml:1:4: the byte 0xff is not UTF-8: save the file as UTF-8"),
        (b"\xef\xbb\xbfa: 1\nb: \xc3\xbc\xe9", "f.yaml:2:5: the byte 0xe9 is not UTF-8: save the file as UTF-8"),
        (b"\xff\xfea\x00:\x00", "f.yaml:1:1: the byte 0xff is not UTF-8: save the file as UTF-8"),
        (b"a:\n\tb: 1", "f.yaml:2:1: a tab stands where YAML allows blanks only: indent with blanks"),
        (b"a: 1\nb:\n  \tc: 1", "f.yaml:3:3: a tab stands where YAML allows blanks only: indent with blanks"),
        (b"a: 1\x00b", "f.yaml:1:5: the control character U+0000 is not allowed"),
        (b"a: 1\nb: \x1b[31m", "f.yaml:2:4: the control character U+001B is not allowed"),
        (b"a: 1\n---\nb: 2", "f.yaml:2:1: a second document begins here: one file holds one inventory"),
        (b"a: *b", "f.yaml:1:4: an alias (*name) without an anchor (&name) before it: quote the text if it is none"),
        (b"a: !b!c d", "f.yaml:1:4: a tag (!name) that is not known: quote the text if it is none"),
        (b"a: &x [*x]", "f.yaml:1:4: an alias that contains itself"),
        (b"a: &x {b: {<<: *x}}", "f.yaml:1:4: an alias that contains itself"),
        (b"[" * 100_000, f"f.yaml:1:{MAX_DEPTH}: nested deeper than {MAX_DEPTH} levels"),
        (b"- " * 100_000, f"f.yaml:1:{MAX_DEPTH * 2 - 1}: nested deeper than {MAX_DEPTH} levels"),
        (b"{a: " * 100_000, f"f.yaml:1:{MAX_DEPTH * 4 - 3}: nested deeper than {MAX_DEPTH} levels"),
    ],
)
@pytest.mark.usefixtures("loader")
def test_what_stops_a_document_is_one_fault(content: bytes, message: str) -> None:
    """Each way to be no usable YAML gets one fault with a place."""
    assert message == refused(content)


@pytest.mark.parametrize("content", [b"a: b: c", b"a: [b, c", b'a: "b', b"a: @b", b"%YAML 3.0\n---\na: 1", b"a: 'x' y"])
@pytest.mark.usefixtures("loader")
def test_a_syntax_error_has_a_place(content: bytes) -> None:
    """A plain syntax error says so, with line and column."""
    message = refused(content)

    assert message.startswith(("f.yaml:1:", "f.yaml:2:"))
    assert "not valid YAML" in message


@pytest.mark.usefixtures("loader")
def test_a_yaml_bomb_is_refused_before_it_expands() -> None:
    """Nine lines that stand for a billion texts are refused; nothing of that size is ever built."""
    lines = ["a0: &a0 [lol, lol]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]

    assert f"aliases expand to more than {EXPANSION_LIMIT // 1_000_000} MB" in refused("\n".join(lines))


@pytest.mark.usefixtures("loader")
def test_a_merge_bomb_is_refused() -> None:
    """Merge keys count like other aliases."""
    wide = ", ".join(f"k{n}: {'x' * 100}" for n in range(200))
    users = "\n".join(f"b{n}: {{<<: *a}}" for n in range(600))

    assert "aliases expand" in refused(f"a: &a {{{wide}}}\n{users}")


@pytest.mark.usefixtures("loader")
def test_many_aliases_of_a_small_mapping_are_fine() -> None:
    """What grows within the limit is built, and each use is the same object."""
    made = read("a: &a {b: 1}\nc: [" + ", ".join(["*a"] * 1000) + "]").value

    assert isinstance(made, dict)
    assert len(made["c"]) == 1000
    assert made["c"][0] is made["c"][999]


def test_deep_nesting_through_aliases_is_no_recursion_error() -> None:
    """A chain of aliases, each a few levels deep, is built without deep recursion."""
    step = "[" * 20
    lines = [f"a0: &a0 {step}x{']' * 20}"] + [f"a{n}: &a{n} {step}*a{n - 1}{']' * 20}" for n in range(1, 200)]

    assert isinstance(read("\n".join(lines)).value, dict)


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("a: 1\nb: 2\na: 3", ["f.yaml:3:1: a: this key stands here twice"]),
        (
            "x: {a: 1, a: 2}\ny: {b: 1, b: 2}",
            ["f.yaml:1:11: x.a: this key stands here twice", "f.yaml:2:11: y.b: this key stands here twice"],
        ),
        (
            "a:\na: 1",
            [
                "f.yaml:1:1: a key without a value: give it one or remove it",
                "f.yaml:2:1: a: this key stands here twice",
            ],
        ),
        ("x: {hunter2}", ["f.yaml:1:5: x: a key without a value: give it one or remove it"]),
        ("x: [a, ~]", ["f.yaml:1:8: x: an entry of the list is empty"]),
        ("x: {[a]: b}", ["f.yaml:1:5: x: a key must be plain text"]),
        ('x: {"\\0": b}', ["f.yaml:1:5: x: a key must be plain text"]),
        ("x: {~: b}", ["f.yaml:1:5: x: a key must be plain text"]),
        ("x: !secret y", ["f.yaml:1:4: x: a tag (!name) that is not known: quote the text if it is none"]),
        ("x: !!set {a: b}", ["f.yaml:1:4: x: a tag (!name) that is not known: remove it"]),
        ("x: !!python/object:os.system {a: b}", ["f.yaml:1:4: x: a tag (!name) that is not known: remove it"]),
        ("x: {<<: 3}", ["f.yaml:1:9: x.<<: only mappings can be merged with <<"]),
        ("x: {<<: [{a: b}, 3]}", ["f.yaml:1:18: x.<<: only mappings can be merged with <<"]),
        ("x: {<<: [3, {a: b}], a: c}", ["f.yaml:1:10: x.<<: only mappings can be merged with <<"]),
    ],
)
@pytest.mark.usefixtures("loader")
def test_faults_that_leave_the_rest_readable(text: str, faults: list[str]) -> None:
    """Duplicate keys, empty values, unknown tags and bad merges are all reported, each at its place."""
    assert faults == [str(fault) for fault in read(text).faults]


@pytest.mark.parametrize(
    "content", ["p: *hunter2", "p: !hunter2 x", "p: !hunter2! x", "p: {hunter2}", "p: &hunter2", "p: hunter2: x"]
)
@pytest.mark.usefixtures("loader")
def test_no_fault_repeats_a_value(content: str) -> None:
    """A password that YAML takes for an alias, a tag or a key does not come back in a message."""
    try:
        said = " ".join(str(fault) for fault in read(content).faults)
    except InputError as error:
        said = str(error)

    assert said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("path", "key", "place"),
    [
        (("a",), False, (1, 1)),
        (("a",), True, (1, 1)),
        (("a", 1), False, (1, 8)),
        (("a", 7), False, (1, 1)),
        (("m", "b"), False, (2, 11)),
        (("m", "b", "deeper"), False, (2, 8)),
        (("n", "b"), True, (2, 8)),
        (("missing",), False, (1, 1)),
        ((), False, (1, 1)),
        (("o", "b"), False, (4, 14)),
    ],
)
def test_a_path_leads_to_its_place(path: tuple[str | int, ...], key: bool, place: tuple[int, int]) -> None:  # noqa: FBT001 - a table
    """Places lead through merge keys; a path that ends early gets the last place that exists."""
    made = read("a: [x, y]\nm: &m {b: 1}\nn: {<<: *m}\no: {<<: [{b: 2}, *m, x]}")

    fault = made.fault(path, "wrong", key=key)

    assert place == (fault.line, fault.column)
    assert draw(path) == (fault.path or "")


def test_paths_are_drawn_with_dots_and_brackets() -> None:
    """Keys are joined by dots, numbers stand in brackets."""
    assert draw(("certificates", "node", "sans", 0, "fqdns_of")) == "certificates.node.sans[0].fqdns_of"
    assert draw(()) == ""
