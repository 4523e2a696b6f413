import pytest

from tests.test_operations import NAMES


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("rejections", ["agreement-rejections"]),
        ("retries", ["agreement-retries"]),
        ("agreement-duplicates", ["agreement-duplicates"]),
        ("agreement-retries/$DeadLetterQueue", ["agreement-retries/$DeadLetterQueue"]),
        ("dead-letters", [f"{place}" for place in NAMES.dead_letter_queues]),
    ],
)
def test_a_place_has_a_short_name(name: str, places: list[str]) -> None:
    """What a person calls a place, or Service Bus does, leads to it."""
    assert [str(place) for place in NAMES.places(name)] == places


def test_a_place_that_is_none_is_told_which_there_are() -> None:
    """A wrong name gets the right ones."""
    with pytest.raises(ValueError, match=r"nowhere is none of .*rejections"):
        NAMES.places("nowhere")
