"""One SuperLink for each file that asks for it."""

from tests.server.loopback import flower, key, link, site  # noqa: F401 - fixtures for every test here
