"""The navigation is the map in index.md; and README.md, which stands outside of docs, is brought into the site."""  # noqa: INP001 - mkdocs loads it by its path

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
README = "readme.md"


def navigation() -> list[dict[str, list[str]]]:
    """Return the sections of index.md with their pages, and a first one for what stands before them."""
    _, *sections = (ROOT / "docs" / "index.md").read_text(encoding="utf-8").split("\n## ")
    parts = [
        (title, re.findall(r"^- \[[^]]*\]\(([^)#]+\.md)", rest, re.MULTILINE)) for title, rest in map(_cut, sections)
    ]
    return [{"Start": ["index.md", README]}, *({title: pages} for title, pages in parts)]


def _cut(section: str) -> tuple[str, str]:
    title, _, rest = section.partition("\n")
    return title, rest


def on_config(config: MkDocsConfig) -> None:
    """Put the map in as the navigation."""
    config.nav = navigation()


def on_files(files: Files, /, *, config: MkDocsConfig) -> Files:
    """Add the README, and the licence that it links to."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").replace("](docs/", "](")
    files.append(File.generated(config, README, content=text))
    files.append(File.generated(config, "LICENSE", abs_src_path=str(ROOT / "LICENSE")))
    return files


def on_page_markdown(markdown: str, /, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - mkdocs calls by these names
    """Lead links to the README, which on GitHub go out of docs, to its page."""
    return re.sub(r"\]\((?:\.\./)+README\.md", f"]({'../' * page.file.src_uri.count('/')}{README}", markdown)
