from pathlib import Path

import pytest

from agreements import audit


def test_who_is_at_work_is_told_without_a_name_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own register counts, and not a variable that anybody sets; a container may have none."""
    monkeypatch.setenv("LOGNAME", "somebody-else")
    assert "somebody-else" not in audit.operator()
    monkeypatch.setattr("os.getuid", lambda: 4_000_000)
    assert audit.operator().startswith("4000000@")


def test_the_audit_file_is_its_owners(tmp_path: Path) -> None:
    """It is appended to, and readable by nobody else."""
    audit.record(tmp_path / "audit", {"who": "ada"})
    audit.record(tmp_path / "audit", {"who": "bob"})
    assert len((tmp_path / "audit").read_text().splitlines()) == 2
    assert (tmp_path / "audit").stat().st_mode & 0o777 == 0o600
