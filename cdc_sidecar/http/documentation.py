"""Addresses of the documentation, to which the status page links."""

from typing import Final

BASE: Final = "https://github.com/cdc-sidecar/cdc-sidecar/blob/main/docs"
"""Where the folder `docs` of this repository is published."""
_SECTIONS: Final = {
    "1": "configuration-and-start",
    "2": "postgres",
    "3": "rows-and-schemas",
    "4": "kafka",
    "5": "position-and-identity",
    "9": "the-sidecar-itself",
}
"""The sections of `reference/errors.md` by the first digit of a code."""


def page_url(page: str) -> str:
    """Return the address of a page below `docs`, with its anchor if it has one."""
    return f"{BASE}/{page}"


def error_page(code: str) -> str:
    """Return the page and the section that describe an error such as `CDC-401`."""
    section = _SECTIONS.get(code.removeprefix("CDC-")[:1])
    return "reference/errors.md" + (f"#{section}" if section else "")
