"""The runbooks as a person meets them: each section of docs/operations.md with the commands in it."""

import re
from collections.abc import Iterator
from pathlib import Path

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "operations.md"
_SECTION = re.compile(r"^##+ (?P<title>.+?)\n(?P<text>.*?)(?=^##+ |\Z)", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^ *```\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
# These need a browser, or Azure: the document says so, and other tests play the browser.
_ELSEWHERE = ("agreements consent", "az ", "traces ", "kill ")


def runbooks() -> dict[str, list[str]]:
    """Return the lines of each section that are typed into a shell, but for those of above."""
    found = {match["title"]: list(_lines(match["text"])) for match in _SECTION.finditer(DOCUMENT.read_text())}
    return {title: lines for title, lines in found.items() if lines}


def _lines(text: str) -> Iterator[str]:
    for block in _BLOCK.findall(text):
        for line in map(str.strip, block.splitlines()):
            if not line.startswith(_ELSEWHERE):
                yield line
