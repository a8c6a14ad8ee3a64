"""The generated reference pages say what the contract says."""

from pathlib import Path

from cpt.hw.contract.render import PAGES


def document_problems(docs: Path) -> list[str]:
    """Pages below ``docs`` that no longer match the contract."""
    found = []
    for name, page in PAGES.items():
        path = docs / name
        if not path.is_file():
            found.append(f"{path} is missing; run make docs")
        elif path.read_text(encoding="utf-8") != page():
            found.append(f"{path} is stale: the contract changed; run make docs")
    return found
