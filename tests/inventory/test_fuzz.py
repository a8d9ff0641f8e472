from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmscert.errors import InputError
from cmscert.inventory.load import read_outline
from cmscert.inventory.outline import Outline
from cmscert.testing.inventories import SMALL

WHOLE = (Path(__file__).parents[2] / "inventories" / "issued.yaml").read_text()
WORDS = st.sampled_from(
    sorted({word for word in WHOLE.replace("{", " ").replace(",", " ").split() if word.isidentifier()})
)
PLAIN = st.recursive(
    st.none()
    | st.sampled_from(["<<", "\0", "\0env", "{fqdn}", "=", "[key]"])
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
LIMITS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def outcome(content: bytes) -> Outline | InputError:
    """Read bytes as an inventory; anything but an outline or faults is raised."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "inventory.yaml"
        path.write_bytes(content)
        try:
            return read_outline(path)
        except InputError as error:
            refused = error
    assert refused.faults
    assert all(fault.file == str(path) and fault.message for fault in refused.faults)
    return refused


@LIMITS
@given(st.binary(max_size=200))
def test_any_bytes(content: bytes) -> None:
    """Any bytes are an inventory or faults, never another exception."""
    outcome(content)


@LIMITS
@given(st.text(alphabet="ab:-[]{}&*!|>'\"%@`#?, \n\t<~1\0\ufeff\u2028", max_size=60))
def test_any_yaml_like_text(text: str) -> None:
    """Any heap of YAML's own characters is an inventory or faults."""
    outcome(text.encode())


@LIMITS
@given(PLAIN)
def test_any_document(value: object) -> None:
    """Any well-formed document is an inventory or faults."""
    outcome(yaml.safe_dump(value, allow_unicode=True).encode())


@LIMITS
@given(st.data())
def test_an_inventory_with_something_else_in_it(choose: st.DataObject) -> None:
    """Whatever stands in any place of a real inventory, the answer is an outline or faults."""
    document = yaml.safe_load(WHOLE)
    place = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = choose.draw(st.sampled_from(keys))
        inner = place[key]
        if not isinstance(inner, (dict, list)) or not inner or choose.draw(st.booleans()):
            place[key] = choose.draw(PLAIN)
            break
        place = inner
    outcome(yaml.safe_dump(document, allow_unicode=True).encode())


@LIMITS
@given(st.data())
def test_a_damaged_inventory(choose: st.DataObject) -> None:
    """An inventory with bytes taken out, put in or turned round is an outline or faults."""
    content = WHOLE.encode()
    start = choose.draw(st.integers(0, len(content)))
    end = choose.draw(st.integers(start, min(len(content), start + 40)))
    outcome(content[:start] + choose.draw(st.binary(max_size=6)) + content[end:])


@pytest.mark.parametrize("content", [SMALL.encode(), WHOLE.encode()])
def test_the_start_of_all_this_is_sound(content: bytes) -> None:
    """What the tests above damage is an inventory."""
    assert isinstance(outcome(content), Outline)
