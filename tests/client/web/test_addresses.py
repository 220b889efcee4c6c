"""The case behind an address."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from client.web.addresses import Addresses


class List:
    """A worklist that grows; counts how often it is asked, and how often each case is hashed."""

    def __init__(self, *cases: str) -> None:
        self.cases = list(cases)
        self.asked = 0
        self.hashed: Counter[str] = Counter()
        self.addresses = Addresses(self.name, self.all)

    def name(self, case: str) -> str:
        self.hashed[case] += 1
        return f"case-{case[::-1]}"

    def all(self) -> list[str]:
        self.asked += 1
        return list(self.cases)


@pytest.fixture
def listed() -> List:
    """A list of two scans."""
    return List("ab", "cd")


def test_a_scan_is_found_by_its_pseudonym_only(listed: List) -> None:
    assert listed.addresses.case_of("case-ba") == "ab"
    assert listed.addresses.case_of("case-dc") == "cd"
    assert listed.addresses.case_of("ab") is None
    assert listed.addresses.case_of("case-ab") is None


def test_each_case_is_hashed_once_and_the_list_asked_only_for_what_is_not_known(listed: List) -> None:
    for _ in range(3):
        listed.addresses.case_of("case-ba")
    assert (listed.hashed, listed.asked) == ({"ab": 1, "cd": 1}, 1)
    listed.cases.append("ef")
    assert listed.addresses.case_of("case-fe") == "ef"
    assert (listed.hashed, listed.asked) == ({"ab": 1, "cd": 1, "ef": 1}, 2)


def test_what_somebody_makes_up_takes_no_memory(listed: List) -> None:
    for number in range(100):
        assert listed.addresses.case_of(f"case-{number}") is None
    assert len(vars(listed.addresses)["_cases"]) == 2
    assert listed.hashed.total() == 2


def test_threads_that_ask_at_once_get_the_same_answers() -> None:
    listed = List(*(f"{number:04d}" for number in range(500)))
    scans = [f"case-{case[::-1]}" for case in listed.cases] * 4
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(listed.addresses.case_of, scans))
    assert found == listed.cases * 4
    assert set(listed.hashed.values()) == {1}
