"""Pages: what contiguous memory is handed out in."""

PAGE_BYTES = 4096


def whole_pages(nbytes: int) -> int:
    """``nbytes`` rounded up to pages, at least one: what a buffer takes."""
    return max(1, -(-nbytes // PAGE_BYTES)) * PAGE_BYTES
