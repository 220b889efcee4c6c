"""A network whose findings are known for all tests of this folder."""

import pytest

from tests.client.predict.readings import likely


@pytest.fixture(autouse=True)
def _sees_what_is_bright(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "real_network" not in request.keywords:
        monkeypatch.setattr("client.uncertainty.probabilities", likely)
