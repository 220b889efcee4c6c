"""The certificate is looked at when `up` begins and once a day, and renewed when it is due."""

from pathlib import Path

import pytest
from cryptography import x509

from server import upkeep
from server.authority import days_left, renew
from server.settings import Coordinator
from server.upkeep import CertificateWatch
from shared.errors import ConfigError
from tests.server.loopback import new_folder


@pytest.fixture
def due(tmp_path: Path) -> Coordinator:
    """A folder whose certificate has twenty days left."""
    settings = new_folder(tmp_path / "coordinator")
    age(settings)
    return settings


def later(watch: CertificateWatch, *, hours: float) -> None:
    """Let it be as if the last look had been so much earlier."""
    assert watch._looked is not None
    watch._looked -= hours * 3600


def serial(settings: Coordinator) -> int:
    return x509.load_pem_x509_certificate(settings.server_pem.read_bytes()).serial_number


def age(settings: Coordinator) -> None:
    """Let the certificate in the folder be one with twenty days left."""
    short = settings.model_copy(update={"certificate_days": 20})
    short._folder = settings.folder
    renew(short)


def test_one_that_is_due_is_renewed_and_that_is_said(due: Coordinator) -> None:
    said: list[str] = []
    CertificateWatch(due, said.append).look()
    assert days_left(due.server_pem) > 300
    assert said == ["renewed the server certificate; no site needs to do anything"]


def test_it_is_looked_at_again_after_a_day_and_not_before(due: Coordinator) -> None:
    watch = CertificateWatch(due, lambda _: None)
    watch.look()
    age(due)
    before = serial(due)
    later(watch, hours=23.9)
    watch.look_again()
    assert serial(due) == before
    later(watch, hours=0.2)
    watch.look_again()
    assert serial(due) != before


def test_while_it_is_up_a_renewal_that_fails_is_said_and_tried_the_next_day(
    due: Coordinator,
) -> None:
    said: list[str] = []
    watch = CertificateWatch(due, said.append)
    key = due.ca_key.read_bytes()
    due.ca_key.write_bytes(b"nonsense")
    with pytest.raises(ConfigError):
        watch.look()  # at the start, where somebody sits before it
    later(watch, hours=25)
    watch.look_again()
    assert said[0].startswith("the server certificate cannot be renewed: ")
    due.ca_key.write_bytes(key)
    later(watch, hours=25)
    watch.look_again()
    assert said[1:] == ["renewed the server certificate; no site needs to do anything"]


def test_an_authority_that_is_about_to_expire_is_said(
    due: Coordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "renew_if_due", lambda _: False)
    monkeypatch.setattr(upkeep, "days_left", lambda _: 13.4)
    said: list[str] = []
    CertificateWatch(due, said.append).look()
    assert said == ["the authority expires in 13 days; then every site has to enrol again"]
