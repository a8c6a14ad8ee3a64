"""The quantiser of a user's that docs/library.md shows, as a module."""

import re
from pathlib import Path

_PAGE = Path(__file__).parent.parent / "docs" / "library.md"
(SOURCE,) = (
    block
    for block in re.findall(r"```python\n(.*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL)
    if "@register_quantiser" in block
)
exec(SOURCE)
