"""The shapes that JSON Schemas of the documents are made of."""

from __future__ import annotations

from cmscert.reports.plan_document import Document

TEXT: Document = {"type": "string"}
COUNT: Document = {"type": "integer", "minimum": 0}
NUMBER: Document = {"type": "integer"}
FLAG: Document = {"type": "boolean"}
MOMENT: Document = {"type": "string", "format": "date-time", "description": "ISO 8601 in UTC, ends in Z"}
DIGEST: Document = {"type": "string", "pattern": "^[0-9a-f]{64}$"}


def either(schema: Document) -> Document:
    """Let null stand for what is not there."""
    return {"anyOf": [schema, {"type": "null"}]}


def several(schema: Document) -> Document:
    """Make a list of them."""
    return {"type": "array", "items": schema}


def one_of(*values: str) -> Document:
    """Make a choice of words."""
    return {"enum": list(values)}


def by_name(schema: Document) -> Document:
    """Make an object with free keys."""
    return {"type": "object", "additionalProperties": schema}


def record(**fields: Document) -> Document:
    """Make an object that has all these keys and no other."""
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def kind_of(kind: str, /, **fields: Document) -> Document:
    """Make one member of a union that its ``kind`` tells apart."""
    return record(**fields, kind={"const": kind})


TEXTS = several(TEXT)
MAYBE = either(TEXT)
UNREAD = several(record(server=TEXT, why=TEXT))
NOTICES = several(record(message=TEXT, server=MAYBE, slot=MAYBE, reason=TEXT))
SEVERITY = one_of("error", "warning", "notice")
