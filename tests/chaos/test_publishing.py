from pathlib import Path

from tests.chaos.publishing import BAD, publish_and_kill


def test_a_killed_run_confirms_every_good_row_once(tmp_path: Path) -> None:
    """On a small scale what ``make publish-kills`` shows at length, with a row for each way to be bad."""
    found = publish_and_kill(tmp_path, count=300, bad=len(BAD), kills=1, seed=1, rate="300/s")
    assert found["confirmed"] == 300 - len(BAD)
