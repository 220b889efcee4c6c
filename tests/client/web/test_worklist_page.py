from tests.client.web.conftest import Browser


def test_the_list_shows_every_scan_that_waits(browser: Browser) -> None:
    page = browser.get("/worklist").text
    for case in ("Okafor_1", "Lindqvist_2", "Haddad_3"):
        assert case in page
