"""Guessing is slow, and nobody is locked out by somebody else's guesses."""

import pytest

from shared.web.tries import Tries, network_of


def test_a_name_from_one_address_has_to_wait_and_others_do_not() -> None:
    tries = Tries()
    assert [tries.begin("amal", "10.0.0.1") for _ in range(5)] == [0] * 5
    assert 0 < tries.begin("amal", "10.0.0.1") <= 60
    assert tries.begin("amal", "10.0.0.2") == 0
    assert tries.begin("bo", "10.0.0.1") == 0


def test_one_address_cannot_go_through_many_names() -> None:
    tries = Tries()
    admitted = sum(tries.begin(f"name {number}", "10.0.0.1") == 0 for number in range(200))
    assert admitted == 50
    assert tries.begin("amal", "10.0.0.2") == 0


def test_many_addresses_cannot_go_for_one_name() -> None:
    tries = Tries()
    admitted = sum(tries.begin("amal", f"10.0.1.{number}") == 0 for number in range(200))
    assert admitted == 50
    assert tries.begin("bo", "10.0.1.1") == 0


def test_a_refused_try_counts_nowhere() -> None:
    """Else one desk that goes on typing would use up what the name has from all others."""
    tries = Tries()
    for _ in range(1000):
        tries.begin("amal", "10.0.0.1")
    assert tries.begin("amal", "10.0.0.2") == 0
    assert tries.begin("bo", "10.0.0.1") == 0


def test_a_right_password_does_not_count() -> None:
    tries = Tries()
    for _ in range(200):
        assert tries.begin("amal", "10.0.0.1") == 0
        tries.was_right("amal", "10.0.0.1")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:bbbb::9", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
    ],
)
def test_one_machine_has_many_addresses_of_one_ipv6_network(address: str, network: str) -> None:
    assert network_of(address) == network
