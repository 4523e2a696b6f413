"""What infra/ provisions can be deployed, is what the code expects, and lets nobody in by a key."""

import pytest

from tests.infra.catalogue import CHECKS, Check
from tests.infra.product import ROOT
from tests.infra.project import Project
from tests.infra.shapes import published

PROJECT = Project(ROOT)


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_nothing_is_found(check: Check) -> None:
    """Each check's own docstring states the promise; it holds for infra/ as it is."""
    assert check.__doc__
    assert sorted(set(check(PROJECT))) == []


def test_every_module_is_followed() -> None:
    """The checks see what every file deploys, so that none of them is silent for want of anything to see."""
    seen = {one.source.path for one in PROJECT.resources}
    assert seen == PROJECT.sources.keys()


def test_no_shape_is_kept_in_vain() -> None:
    """The published shapes that are kept are those of the types that are used, so that they stay few."""
    assert published().keys() == {one.target for one in PROJECT.resources}
