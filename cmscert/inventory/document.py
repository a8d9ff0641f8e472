"""YAML to plain values, with the place of every key kept in the node graph.

The C loader's ``compose`` makes the graph; its resolver is switched off, because YAML 1.1 turns ``3.10`` into 3.1,
``NO`` into false and dates into objects. Scalars stay text, and the forms make numbers of it where they want numbers.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import yaml

from cmscert.errors import Fault, InputError, Severity

if TYPE_CHECKING:
    _Parser = yaml.SafeLoader
else:
    _Parser = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MAX_DEPTH = 64  # libyaml's composer recurses in C: 100,000 brackets end the process with SIGSEGV
MAX_NODES = 150_000  # 1,000 servers have 60,000; a megabyte of commas makes 500,000, which take 1.4 s and 150 MB
EXPANSION_LIMIT = 1_000_000

KeyPath = tuple[str | int, ...]

_STR, _NULL, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:null", "tag:yaml.org,2002:merge"
_MAP, _SEQ = "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"
_SCALARS = {_STR, _MERGE, *(f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "bool"))}
_NULLS = {"", "~", "null", "Null", "NULL"}


class _TooMuch(Exception):
    def __init__(self, parent: yaml.Node | None, message: str, reason: str) -> None:
        super().__init__(message)
        self.mark = None if parent is None else parent.start_mark
        self.message = message
        self.reason = reason


class _Composer(_Parser):
    """Composes nodes with text scalars, and stops before the nesting gets dangerous."""

    depth = 0
    nodes = 0

    def resolve(self, kind: type[yaml.Node], value: str, implicit: tuple[bool, bool] | bool) -> str:  # noqa: FBT001 - pyyaml's signature
        if kind is yaml.ScalarNode:
            if isinstance(implicit, tuple) and implicit[0]:
                if value in _NULLS:
                    return _NULL
                if value == "<<":
                    return _MERGE
            return _STR
        return _MAP if kind is yaml.MappingNode else _SEQ

    def descend_resolver(self, parent: yaml.Node | None, _index: object) -> None:
        self.depth += 1
        self.nodes += 1
        if self.depth > MAX_DEPTH:
            raise _TooMuch(parent, f"nested deeper than {MAX_DEPTH} levels", "yaml-depth")
        if self.nodes > MAX_NODES:
            raise _TooMuch(parent, f"more than {MAX_NODES:,} keys and values: split the fleet", "yaml-size")

    def ascend_resolver(self) -> None:
        self.depth -= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A YAML file as plain dicts, lists and texts, and the way back from a path of keys to its place.

    ``faults``: what is wrong with it as YAML (duplicate keys, empty values ...). ``empties``: paths that had no value
    and were left out of ``value``.
    """

    file: str
    root: yaml.Node
    value: object
    faults: tuple[Fault, ...] = ()
    empties: frozenset[KeyPath] = frozenset()
    _index: dict[int, dict[str, tuple[yaml.Node, yaml.Node]]] = field(default_factory=dict, repr=False)

    def fault(
        self, path: KeyPath, message: str, *, reason: str = "invalid", key: bool = False, severity: Severity = "error"
    ) -> Fault:
        """Make a fault at a path of keys, or at the deepest part of the path that exists.

        ``key``: point at the key instead of its value.
        """
        mark = self._mark(path, key=key)
        return Fault(
            message=message, file=self.file, line=mark.line + 1, column=mark.column + 1, path=draw(path) or None,
            reason=reason, severity=severity,
        )  # fmt: skip

    def _mark(self, path: KeyPath, *, key: bool) -> yaml.Mark:
        node, found = self.root, self.root
        for part in path:
            step = self._step(node, part)
            if step is None:
                return found.start_mark
            found, node = step
        return (found if key or isinstance(node, yaml.CollectionNode) else node).start_mark

    def _step(self, node: yaml.Node, part: str | int) -> tuple[yaml.Node, yaml.Node] | None:
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            return (node.value[part], node.value[part]) if part < len(node.value) else None
        if isinstance(node, yaml.MappingNode):
            if id(node) not in self._index:
                self._index[id(node)] = dict(_pairs(node))
            return self._index[id(node)].get(str(part))
        return None


def draw(path: KeyPath) -> str:
    """Write a path of keys as ``certificates.node.sans[0]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def parse(content: bytes, *, file: str) -> Document:
    """Read YAML.

    ``file`` is the name that messages show. Raises InputError when no value can be had; faults that leave the rest
    readable are in ``Document.faults``.
    """
    text = _decode(content, file)
    root = _compose(text, file)
    builder = _Builder(file)
    if "&" in text and "*" in text:
        builder.measure(root)
    value = builder.value(root, ())
    return Document(file=file, root=root, value=value, faults=tuple(builder.faults), empties=frozenset(builder.empties))


def _decode(content: bytes, file: str) -> str:
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line_start = before.rfind(b"\n") + 1
        raise InputError([
            Fault(
                message=f"the byte 0x{content[error.start]:02x} is not UTF-8: save the file as UTF-8",
                file=file, line=before.count(b"\n") + 1, reason="not-utf-8",
                column=len(before[line_start:].decode("utf-8", "replace")) + 1,
            )
        ]) from None  # fmt: skip


def _compose(text: str, file: str) -> yaml.Node:
    loader = None
    try:
        loader = _Composer(text)
        root = loader.get_single_node()
    except _TooMuch as error:
        raise InputError([_marked(file, error.mark, error.message, error.reason)]) from None
    except yaml.MarkedYAMLError as error:
        message = _problem(error, text)
        raise InputError([_marked(file, error.problem_mark or error.context_mark, message, "yaml")]) from None
    except yaml.YAMLError as error:
        raise InputError([_unprintable(file, text, error)]) from None
    finally:
        if loader is not None:
            loader.dispose()
    if root is None:
        raise InputError([Fault(message="the file is empty", file=file, line=1, column=1, reason="empty")])
    return root


def _problem(error: yaml.MarkedYAMLError, text: str) -> str:
    """Word a syntax error without repeating words of the file: they may be a password with a ``*`` or ``!``."""
    problem = error.problem or error.context or "cannot be read"
    mark = error.problem_mark
    if mark is not None:
        line = text.splitlines()[mark.line] if mark.line < len(text.splitlines()) else ""
        if line[mark.column : mark.column + 1] == "\t" or "\t" in line[: len(line) - len(line.lstrip())]:
            return "a tab stands where YAML allows blanks only: indent with blanks"
    if "alias" in problem:
        return "an alias (*name) without an anchor (&name) before it: quote the text if it is none"
    if "tag" in problem:
        return "a tag (!name) that is not known: quote the text if it is none"
    if "single document" in (error.context or "") or "single document" in problem:
        return "a second document begins here: one file holds one inventory"
    context = f" {error.context}" if error.context else ""
    return f"not valid YAML{context}: {problem}"


def _unprintable(file: str, text: str, error: yaml.YAMLError) -> Fault:
    """The reader's errors carry a position at best; the first forbidden character is the one it stopped at."""
    found = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if found is None:
        return Fault(message="not valid YAML", file=file, reason=f"yaml-{type(error).__name__.lower()}")
    start = found.start()
    return Fault(
        message=f"the control character U+{ord(found[0]):04X} is not allowed", file=file, reason="yaml",
        line=text.count("\n", 0, start) + 1, column=start - text.rfind("\n", 0, start),
    )  # fmt: skip


def _marked(file: str, mark: yaml.Mark | None, message: str, reason: str) -> Fault:
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (None, None)
    return Fault(message=message, file=file, line=line, column=column, reason=reason)


def _pairs(node: yaml.MappingNode) -> Iterator[tuple[str, tuple[yaml.Node, yaml.Node]]]:
    """Yield key to (key node, value node), merged ones first so that own ones win."""
    for key, value in node.value:
        if key.tag == _MERGE:
            sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for source in reversed(sources):
                if isinstance(source, yaml.MappingNode):
                    yield from _pairs(source)
    for key, value in node.value:
        if key.tag != _MERGE and isinstance(key, yaml.ScalarNode):
            yield key.value, (key, value)


class _Builder:
    """Turns nodes into plain values. An anchored node becomes one object, however often it is used."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.faults: list[Fault] = []
        self.empties: set[KeyPath] = set()
        self._built: dict[int, object] = {}

    def measure(self, root: yaml.Node) -> None:
        """Refuse aliases that contain themselves or expand past the limit; raises InputError."""
        sizes: dict[int, int] = {}
        extra = self._size(root, sizes) - sum(
            1 + (len(node.value) if isinstance(node, yaml.ScalarNode) else 0) for node in _each(root)
        )
        if extra > EXPANSION_LIMIT:
            message = f"its aliases expand to more than {EXPANSION_LIMIT // 1_000_000} MB: write it without them"
            raise InputError([_marked(self.file, root.start_mark, message, "yaml-expansion")])

    def _size(self, node: yaml.Node, sizes: dict[int, int]) -> int:
        if isinstance(node, yaml.ScalarNode):
            return 1 + len(node.value)
        known = sizes.get(id(node))
        if known == 0:
            raise InputError([_marked(self.file, node.start_mark, "an alias that contains itself", "yaml-expansion")])
        if known is None:
            sizes[id(node)] = 0
            known = 1 + sum(self._size(child, sizes) for child in _children(node))
            sizes[id(node)] = known
        return known

    def value(self, node: yaml.Node, path: KeyPath) -> object:
        """Return a node's plain value."""
        if isinstance(node, yaml.ScalarNode):
            if node.tag not in _SCALARS and node.tag != _NULL:
                self._add(node, path, "a tag (!name) that is not known: quote the text if it is none")
            return None if node.tag == _NULL else node.value
        if id(node) in self._built:
            return self._built[id(node)]
        if node.tag not in (_MAP, _SEQ):
            self._add(node, path, "a tag (!name) that is not known: remove it")
        built = self._mapping(node, path) if isinstance(node, yaml.MappingNode) else self._sequence(node, path)
        self._built[id(node)] = built
        return built

    def _sequence(self, node: yaml.Node, path: KeyPath) -> list[object]:
        values = []
        for number, child in enumerate(node.value):
            value = self.value(child, (*path, number))
            if value is None:
                self._add(child, path, "an entry of the list is empty")
            values.append("" if value is None else value)
        return values

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, object]:
        own: dict[str, object] = {}
        merged: dict[str, object] = {}
        for key, child in node.value:
            if key.tag == _MERGE:
                merged = {**self._merged(child, path), **merged}
            elif not isinstance(key, yaml.ScalarNode) or key.tag not in _SCALARS or "\0" in key.value:
                self._add(key, path, "a key must be plain text")
            elif key.value in own or (*path, key.value) in self.empties:
                self._add(key, (*path, key.value), "this key stands here twice", "duplicate-key")
            else:
                value = self.value(child, (*path, key.value))
                if value is None:
                    # The key is not named: in `password: {hunter2}` it is the password.
                    self._add(key, path, "a key without a value: give it one or remove it", "empty")
                    self.empties.add((*path, key.value))
                else:
                    own[key.value] = value
        return {**merged, **own}

    def _merged(self, node: yaml.Node, path: KeyPath) -> dict[str, object]:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, object] = {}
        for source in reversed(sources):
            value = self.value(source, path)
            if isinstance(value, dict):
                merged.update(value)
            else:
                self._add(source, (*path, "<<"), "only mappings can be merged with <<")
        return merged

    def _add(self, node: yaml.Node, path: KeyPath, message: str, reason: str = "yaml") -> None:
        mark = node.start_mark
        self.faults.append(
            Fault(
                message=message, file=self.file, line=mark.line + 1, column=mark.column + 1, path=draw(path) or None,
                reason=reason,
            )
        )  # fmt: skip


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for pair in node.value:
            yield from pair
    else:
        yield from node.value


def _each(root: yaml.Node) -> Iterator[yaml.Node]:
    """Yield every node once, however often aliases use it."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) not in seen:
            seen.add(id(node))
            yield node
            if not isinstance(node, yaml.ScalarNode):
                waiting.extend(_children(node))
