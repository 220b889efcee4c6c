"""One SuperLink or PostgreSQL for each file that asks for it."""

from tests.databases import postgres, url  # noqa: F401 - fixtures for the stores
from tests.server.loopback import flower, key, link, site  # noqa: F401 - fixtures for every test here
