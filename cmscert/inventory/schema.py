"""The JSON Schema of inventories, for editors: made from the forms, with what pydantic says too much taken out."""

from __future__ import annotations

from typing import Any

from cmscert.inventory.forms import InventoryForm

Document = dict[str, Any]


def inventory_schema() -> Document:
    """Return the schema (draft 2020-12) as plain values, in an order that is always the same.

    What only the whole inventory shows (names that are not declared, slots that a release lacks) is beyond it.
    """
    made = _tidy(InventoryForm.model_json_schema())
    definitions: Document = made["$defs"]
    definitions["CertificateForm"]["oneOf"] = [{"required": ["files"]}, {"required": ["issuer"]}]
    made["description"] = "What every service of every Cisco Meeting Server of a fleet must hold."
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "cmscert inventory, version 1",
        **made,
        "$defs": dict(sorted(definitions.items())),
    }


def _tidy(part: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Take out titles and ``null``, which no inventory may say; close mappings of names."""
    if isinstance(part, list):
        return [_tidy(one) for one in part]
    if not isinstance(part, dict):
        return part
    kept = {
        key: {name: _tidy(one) for name, one in value.items()} if key in ("properties", "$defs") else _tidy(value)
        for key, value in part.items()
        if not (key == "title" or (key == "default" and value is None))
    }
    if "patternProperties" in kept:
        kept["additionalProperties"] = False
    if "anyOf" in kept:
        kept = _without_null(kept)
    return kept


def _without_null(part: Document) -> Document:
    branches = [branch for branch in part["anyOf"] if branch != {"type": "null"}]
    rest = {key: value for key, value in part.items() if key != "anyOf"}
    return {**branches[0], **rest} if len(branches) == 1 else {"anyOf": branches, **rest}
