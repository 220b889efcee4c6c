"""What lies where in a site's work folder: results of read scans, and the key of their pseudonyms."""

from client.data.importing.pseudonyms import Pseudonyms
from client.site import Site

FOLDER = "predictions"
KEY = "predictions.key"
NAMES = "predictions.names.csv"


def pseudonyms_of(site: Site) -> Pseudonyms:
    """Open the site's key, or make one at first; raise ConfigError for one that cannot be used."""
    work = site.make_work()
    return Pseudonyms.of_key_file(work / KEY, work / NAMES)
