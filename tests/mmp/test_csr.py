"""The rules of ``pki csr``."""

from __future__ import annotations

from typing import Any

import pytest

from cmscert.mmp.csr import RULES, Request, csr_command, faults, request_for
from cmscert.model.commands import Effect


@pytest.mark.parametrize(
    ("request_", "typed"),
    [
        (
            Request(basename="databasecluster_client", common_name="postgres"),
            "pki csr databasecluster_client CN:postgres",
        ),
        (
            Request(
                basename="cms1a",
                common_name="cms1.pod7.cms.lab",
                sans=("cms1.pod7.cms.lab", "cms1a.pod7.cms.lab", "10.106.81.32", "ops@cms.lab"),
            ),
            (
                "pki csr cms1a CN:cms1.pod7.cms.lab "
                "subjectAltName:cms1.pod7.cms.lab,cms1a.pod7.cms.lab,10.106.81.32,ops@cms.lab"
            ),
        ),
        (
            Request(
                basename="all-2026",
                common_name="*.example.com",
                organisational_unit="My Desk",
                organisation="Example Ltd",
                locality="London",
                state="London",
                country="GB",
                email="ops@example.com",
            ),
            (
                'pki csr all-2026 CN:*.example.com OU:"My Desk" O:"Example Ltd" L:London ST:London C:GB '
                "emailAddress:ops@example.com"
            ),
        ),
    ],
    ids=["database", "lab", "everything"],
)
def test_a_request_is_typed_as_the_documents_show(request_: Request, typed: str) -> None:
    """[S2], [S20], [S17]: basename, CN, attributes, names separated by commas; it changes the store."""
    made = csr_command(request_)

    assert (made.typed, made.effect) == (typed, Effect.CHANGE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"basename": ""}, "basename takes letters"),
        ({"basename": "web.key"}, "basename takes letters"),
        ({"basename": "web admin"}, "basename takes letters"),
        ({"basename": "web\n"}, "basename takes letters"),
        ({"basename": "w" * 65}, "longer than 64"),
        ({"common_name": ""}, "common name is empty"),
        ({"common_name": "c" * 65}, "longer than 64"),
        ({"common_name": "a\nreboot"}, "value of CN cannot be typed"),
        ({"organisation": 'A "B" Ltd'}, "value of O cannot be typed"),
        ({"country": "GBR"}, "two letters"),
        ({"sans": ("b.example.com",)}, "do not list the common name"),
        ({"sans": ("a.example.com", "")}, "empty, or holds a blank"),
        ({"sans": ("a.example.com", "b c")}, "empty, or holds a blank"),
        ({"sans": ("a.example.com", "b,c")}, "empty, or holds a blank"),
        ({"sans": ("a.example.com", "ü.example.com")}, "value of subjectAltName cannot be typed"),
    ],
)
def test_a_request_that_breaks_a_rule_is_refused(changes: dict[str, Any], message: str) -> None:
    """Each rule has its own reason, and none lets a value end the command."""
    values: dict[str, Any] = {"basename": "web", "common_name": "a.example.com", **changes}

    with pytest.raises(ValueError, match=message):
        csr_command(Request(**values))


def test_a_basename_in_use_is_refused() -> None:
    """A new key under a name in use takes the service down at once, as the TechNote warns."""
    request = Request(basename="web", common_name="a.example.com")

    assert faults(request, ("web.crt", "web2.key")) == ()
    assert faults(request, ("web.key", "web.csr")) == (
        "web.key and web.csr would be overwritten: choose a new basename",
    )


def test_names_are_compared_without_case() -> None:
    """A common name in other case counts as listed."""
    assert faults(Request(basename="web", common_name="A.example.com", sans=("a.Example.com",))) == ()


def test_everything_that_is_wrong_is_told_at_once() -> None:
    """All rules run, so that a person sees every fault."""
    request = Request(basename="a b", common_name="", sans=("x y",), country="GBR")

    assert len(faults(request)) == len(RULES)


def test_a_request_for_what_an_inventory_asks_for() -> None:
    """The attributes are those of the inventory, and the names list the common name first."""
    made = request_for(
        "node-1",
        common_name="core1.example.com",
        sans=("alias.example.com",),
        attributes={
            "O": "Example",
            "OU": "Desk",
            "L": "Oslo",
            "ST": "Oslo",
            "C": "NO",
            "emailAddress": "a@example.com",
        },
    )

    assert made.sans == ("core1.example.com", "alias.example.com")
    assert [name for name, _ in made.attributes] == ["CN", "OU", "O", "L", "ST", "C", "emailAddress"]
    assert faults(made) == ()
