"""The roots that browsers trust."""

from __future__ import annotations

from cmscert.app.public_roots import public_roots


def test_the_list_names_well_known_roots() -> None:
    """The root of Let's Encrypt is public; a company's own is not."""
    roots = public_roots()

    assert any("ISRG Root X1" in subject for subject in roots)
    assert not any("example" in subject.lower() for subject in roots)
    assert public_roots() is roots
