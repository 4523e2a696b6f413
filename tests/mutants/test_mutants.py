from pathlib import Path

import pytest

from tests.mutants import __main__ as mutants
from tests.mutants.__main__ import Change, explained, read_change

DIFF = """\
# agreements.identity.x_position__mutmut_5: survived
--- agreements/identity.py
+++ agreements/identity.py
@@ -1,3 +1,3 @@
 def position(number):
-    at = number + 1
+    at = number - 1
     return at
"""


def test_a_change_is_named_by_its_function_and_line() -> None:
    """The number that mutmut gives a change is not part of it: it changes with the code."""
    found = read_change("agreements.identity.x_position__mutmut_5", DIFF)
    assert found == Change("agreements.identity.x_position", "at = number + 1", "at = number - 1", "another")


def test_every_explanation_gives_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change is not explained by being listed."""
    assert explained()
    silent = tmp_path / "explained.toml"
    silent.write_text("[[change]]\nfunction = 'f'\nbefore = 'b'\nafter = 'a'\nreason = ' '\n")
    monkeypatch.setattr(mutants, "EXPLAINED", silent)
    with pytest.raises(ValueError, match="gives no reason"):
        explained()


def test_an_unexplained_change_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What no test noticed is printed as it can be copied, and the exit code says so; a stale reason too."""
    change = Change("f", "a", "b", "f__mutmut_1")
    monkeypatch.setattr(mutants, "unnoticed", lambda: iter([change]))
    monkeypatch.setattr("sys.argv", ["mutants", "--last"])
    monkeypatch.setattr(mutants, "explained", lambda: {change})
    assert mutants.main() == 0
    monkeypatch.setattr(mutants, "explained", set)
    assert mutants.main() == 1
    assert "function = 'f'" in capsys.readouterr().out
    monkeypatch.setattr(mutants, "explained", lambda: {change, Change("f", "a", "c")})
    assert mutants.main() == 1
    assert "noticed or gone: f: c" in capsys.readouterr().out
