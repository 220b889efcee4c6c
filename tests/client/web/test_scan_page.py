from client.web.hospital import Hospital
from tests.client.web.conftest import Browser


def test_the_page_shows(browser: Browser, hospital: Hospital) -> None:
    answer = browser.get(f"/scan/{hospital.scan_name('Okafor_1')}")
    assert answer.status_code == 200, answer.text
