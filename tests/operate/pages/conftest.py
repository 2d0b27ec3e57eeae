"""The operator's pages over a relay's store, asked through Flask's test client."""

import pytest

from tests.operate.operator import Operator
from tests.operate.pages.site import Site, open_site


@pytest.fixture
def strangers(operator: Operator) -> Site:
    """The pages, in a browser in which no operator is signed in."""
    return open_site(operator)


@pytest.fixture
def site(operator: Operator) -> Site:
    """The pages, in a browser in which an operator is signed in."""
    site = open_site(operator)
    assert 303 == site.sign_in().status_code
    return site
