from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from cmscert.inventory.document import parse
from cmscert.inventory.forms import InventoryForm
from cmscert.inventory.schema import inventory_schema
from cmscert.testing.inventories import SMALL

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference" / "inventory.md"


def keys(part: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON value
    """Yield every key that an inventory can have."""
    if isinstance(part, dict):
        yield from part.get("properties", {})
        for one in part.values():
            yield from keys(one)
    elif isinstance(part, list):
        for one in part:
            yield from keys(one)


def wrong(text: str) -> list[str]:
    """Return what the schema says about an inventory."""
    validator = jsonschema.Draft202012Validator(inventory_schema())
    return [error.message for error in validator.iter_errors(yaml.safe_load(text))]


def examples() -> list[str]:
    """Return the YAML examples of the reference."""
    return re.findall(r"```yaml\n(.*?)```", REFERENCE.read_text(), re.DOTALL)


def test_the_schema_file_is_fresh() -> None:
    """The schema in the repository is the one that the code makes."""
    written = json.loads((ROOT / "schemas" / "inventory.schema.json").read_text())

    assert written == inventory_schema(), "schemas/inventory.schema.json is out of date: run `make schemas`"


def test_the_schema_is_a_schema() -> None:
    """The schema is valid draft 2020-12, says nothing of null, and gives every key a word of explanation."""
    schema = inventory_schema()
    jsonschema.Draft202012Validator.check_schema(schema)

    assert '"null"' not in json.dumps(schema)
    unexplained = [
        f"{name}.{key}"
        for name, form in schema["$defs"].items()
        for key, value in form.get("properties", {}).items()
        if not ({"description", "$ref", "const"} & set(value))
    ]
    assert unexplained == []


@pytest.mark.parametrize("name", ["cluster", "issued", "legacy-2.9", "single"])
def test_the_shipped_inventories_fit_the_schema(name: str) -> None:
    """An editor finds nothing wrong with the four inventories."""
    assert wrong((ROOT / "inventories" / f"{name}.yaml").read_text()) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version: 1", "version: 2"),
        ("fleet: small", "fleet: a b"),
        ("fleet: small", "fleet: small\nflet: x"),
        ("{env: CMS_PASSWORD}", "hunter2"),
        ("{env: CMS_PASSWORD}", "{env: A, file: b}"),
        ("corp: [", "co rp: ["),
        ("    chain: corp", "    chain: corp\n    issuer: lab"),
        ("webadmin: {", "webadmn: {"),
        ("10.0.0.1,", "'10.0.0.1:22',"),
    ],
)
def test_the_schema_refuses_what_the_forms_refuse(old: str, new: str) -> None:
    """Editors show misspelt keys, plain secrets and bad names while people type."""
    assert wrong(SMALL) == []
    assert wrong(SMALL.replace(old, new)) != []


def test_every_key_is_in_the_reference() -> None:
    """The reference explains every key of the schema."""
    text = REFERENCE.read_text()
    missing = [key for key in dict.fromkeys(keys(inventory_schema())) if f"`{key}`" not in text]

    assert missing == []


@pytest.mark.parametrize("number", range(len(examples())))
def test_the_examples_of_the_reference(number: int) -> None:
    """Every example of the reference is read as it stands, in an inventory that has the rest."""
    example = examples()[number]
    document = parse((example.strip() + "\n").encode() if not example.startswith("#") else b"{}", file="example")
    assert isinstance(document.value, dict)
    whole = parse(SMALL.encode(), file="small").value
    assert isinstance(whole, dict)

    assert document.faults == ()
    InventoryForm.model_validate({**whole, **document.value})
