"""What pydantic found, as faults with places and words for a person. No message repeats a value: it may be a secret."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated, Union, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError
from pydantic_core import ErrorDetails

from cmscert.errors import Fault
from cmscert.inventory.document import Document, KeyPath
from cmscert.inventory.fields import BRANCH

_COMPARED = 500  # names; to compare a word with each takes 3 ms, and each fault does it
_TOLD = 1000  # faults of a form; 100,000 unknown keys would take 5 s to word, and nobody reads them

_WORDS = {
    "string_type": "must be a text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "too_short": "must not be empty",
    "string_pattern_mismatch": "must be an https address",
}
_BOUNDS = {
    "greater_than": ("gt", "must be more than {}"),
    "greater_than_equal": ("ge", "must be at least {}"),
    "less_than": ("lt", "must be less than {}"),
    "less_than_equal": ("le", "must be at most {}"),
    "literal_error": ("expected", "must be {}"),
}


def suggestion(word: str, known: Iterable[str], *, listing: bool = True) -> str:
    """Return ``; did you mean …?``, or the known words when none is near and they are few."""
    names = sorted(set(known))
    if len(names) <= _COMPARED:
        import difflib

        near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
        if near:
            return f"; did you mean {near[0]}?"
    few = 12
    return f"; known are {', '.join(names)}" if listing and 0 < len(names) <= few else ""


def key_path(found: ErrorDetails) -> KeyPath:
    """Return pydantic's location without its own marks: branches of choices, and ``[key]`` where a key is wrong."""
    location = found["loc"][:-1] if _at_key(found) else found["loc"]
    return tuple(part for part in location if not str(part).startswith(BRANCH))


def _at_key(found: ErrorDetails) -> bool:
    return found["type"] != "extra_forbidden" and found["loc"][-1:] == ("[key]",)


def faults_of(error: ValidationError, document: Document, form: type[BaseModel]) -> Iterator[Fault]:
    """Yield one fault for each thing that pydantic found; of very many the first, and how many more there are."""
    if error.error_count() > _TOLD:
        more = error.error_count() - _TOLD
        yield document.fault((), f"{more:,} more things are wrong than are told here: mend these first")
    for found in islice(error.errors(include_url=False, include_input=False, include_context=True), _TOLD):
        path = key_path(found)
        kind = found["type"]
        if kind == "missing":
            if path not in document.empties:
                yield document.fault(path[:-1], f"the key {path[-1]} is missing", reason="missing-key", key=True)
        elif kind == "extra_forbidden":
            known = _fields(form, found["loc"][:-1])
            hint = suggestion(str(path[-1]), known)
            if path[-1] == "bundle":
                hint = "; this slot takes no bundle, its certificate file holds the full chain"
            yield document.fault(path, f"unknown key{hint}", reason="unknown-key", key=True)
        else:
            yield document.fault(path, _word(kind, found), reason="invalid-value", key=_at_key(found))


def _word(kind: str, found: ErrorDetails) -> str:
    context = found.get("ctx", {})
    if kind in _WORDS:
        return _WORDS[kind]
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return words.format(str(context.get(name)).replace("'", ""))
    message = str(found["msg"])
    return message[:1].lower() + message[1:]


def _fields(form: type[BaseModel], words: tuple[str | int, ...]) -> list[str]:
    """Return the keys that a mapping at a place may have."""
    kind: object = form
    for word in words:
        kind = _below(kind, word)
    return list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []


def _below(kind: object, word: str | int) -> object:
    kind = _plain(kind, word)
    if isinstance(word, str) and word.startswith(BRANCH):
        return kind
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        name = str(word)
        return _plain(kind.model_fields[name].annotation, None) if name in kind.model_fields else None
    arguments = get_args(kind)
    return _plain(arguments[1] if get_origin(kind) is dict else arguments[0], None) if arguments else None


def _plain(kind: object, word: str | int | None) -> object:
    """Take off Annotated and ``| None``; with the name of a branch, choose that branch of a union."""
    while True:
        origin = get_origin(kind)
        if origin is Annotated:
            kind = get_args(kind)[0]
        elif origin in (Union, types.UnionType):
            branches = [branch for branch in get_args(kind) if branch is not type(None)]
            tagged = [branch for branch in branches if Tag(str(word)) in getattr(branch, "__metadata__", ())]
            if not tagged and len(branches) > 1:
                return kind
            kind = (tagged or branches)[0]
        else:
            return kind
