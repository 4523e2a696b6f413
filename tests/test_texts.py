import io
import json
from pathlib import Path

import pytest

from agreements import json_values, texts
from agreements.json_values import values
from agreements.texts import NOT_TEXT, UnreadableError, lines, opened

TEXT = 'Zoë;"a\nb"\r\n€\n'


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
def test_text_is_read_however_it_is_encoded(tmp_path: Path, encoding: str) -> None:
    """With a byte order mark or without, nothing of it is left in the text, and no line end is changed."""
    (tmp_path / "f").write_bytes(TEXT.encode(encoding))
    with opened(tmp_path / "f", "") as text:
        assert text.read() == TEXT


def test_bytes_that_are_no_text_are_marked(tmp_path: Path) -> None:
    """Each stands where it stood, and the line ends stay."""
    (tmp_path / "f").write_bytes("Zoë\nZo\xeb\nZoë\n".encode("latin-1").replace(b"Zo\xeb\nZo", b"Zo\nZo", 1))
    with opened(tmp_path / "f", "") as text:
        found = [line for _, line in lines(text)]
    assert found == ["Zo\n", f"Zo{NOT_TEXT}\n", f"Zo{NOT_TEXT}\n"]


def test_half_a_character_of_utf_16_is_marked(tmp_path: Path) -> None:
    """Also at the end of a file that was cut."""
    (tmp_path / "f").write_bytes("ab\n".encode("utf-16") + b"\x00\xd8" + "\nc".encode("utf-16-le") + b"x")
    with opened(tmp_path / "f", "") as text:
        assert text.read() == f"ab\n{NOT_TEXT}\nc{NOT_TEXT}"


def test_what_cannot_be_written_is_no_business_of_the_mark() -> None:
    """The handler is for reading: writing half a character fails as ever."""
    with pytest.raises(UnicodeEncodeError):
        "\ud800".encode(errors="agreements.mark")


def test_an_endless_line_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without line ends is not read into memory."""
    monkeypatch.setattr(texts, "LONGEST", 10)
    with pytest.raises(UnreadableError, match="line 2: longer than any record"):
        list(lines(io.StringIO("x" * 9 + "\n" + "y" * 12)))


ARRAY = '[\n {"a": 1},\n\n {"a": "],",\n  "b": [{}]}, 12 ,"x"\n]\n'


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 2**16])
def test_an_array_is_read_piece_by_piece(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    """Each element with the line where it begins, wherever the file was cut into pieces."""
    monkeypatch.setattr(json_values, "_CHUNK", chunk)
    found = list(values(io.StringIO(ARRAY)))
    assert [line for line, _ in found] == [2, 4, 5, 5]
    assert [json.loads(text) for _, text in found] == json.loads(ARRAY)


@pytest.mark.parametrize("text", ['{"a":\n1}', ' {"a":\n1} \n', "12", '"x"'])
def test_a_value_alone_is_read(text: str) -> None:
    """A file may hold one event and no array."""
    assert list(values(io.StringIO(text))) == [(1, text.strip())]


@pytest.mark.parametrize("text", ["", " \n", "[]", " [ ] \n"])
def test_a_file_may_hold_nothing(text: str) -> None:
    """Nothing is no fault."""
    assert list(values(io.StringIO(text))) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[{"a": 1},\n{"a" 2}]', "line 2: not JSON from here on"),
        ('[{"a": 1}\n{"a": 2}]', "line 2: not JSON: a comma"),
        ('[{"a": 1},\n\n]', "line 3: not JSON: nothing follows after a comma"),
        ('[{"a": 1}', "line 1: not JSON: a comma, or the end"),
        ("[", "line 1: not JSON from here on"),
        ("[1]\n2", "line 2: not JSON: more follows after the array"),
        ('{"a": 1}\n{"a": 2}', "line 2: more follows after the object: is it JSON Lines"),
        ('{"a":\n\n "x', "line 3: not JSON from here on"),
        ("[" * 100_000, "line 1: not JSON from here on"),
    ],
    ids=lambda value: value[:30],
)
def test_what_is_no_json_is_told_by_its_line(text: str, told: str) -> None:
    """Nobody can tell what records would follow, so the file is refused there."""
    with pytest.raises(UnreadableError, match=told):
        list(values(io.StringIO(text)))


def test_an_endless_value_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quote that nobody closes is not read into memory."""
    monkeypatch.setattr(json_values, "LONGEST", 100)
    monkeypatch.setattr(json_values, "_CHUNK", 10)
    endless = _Endless()
    with pytest.raises(UnreadableError, match="line 1: not JSON from here on"):
        list(values(endless))
    assert endless.given < 200


class _Endless(io.StringIO):
    given = 0

    def read(self, size: int | None = -1, /) -> str:
        self.given += size or 0
        return '"' + "x" * 9 if self.given == size else "x" * 10
