"""What MkDocs runs for each page: links that leave docs/ lead to the repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = "https://github.com/bert-serving/bert-serving/blob/main"
_LINK = re.compile(r"\]\((\.\./[^)\s#]+)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """The page with such links changed."""
    docs = Path(config["docs_dir"])
    folder = docs / Path(page.file.src_uri).parent

    def lead(link: re.Match[str]) -> str:
        target = (folder / link[1]).resolve()
        if target.is_relative_to(docs):
            return link[0]
        return f"]({REPOSITORY}/{target.relative_to(ROOT).as_posix()}{link[2] or ''})"

    return _LINK.sub(lead, markdown)
