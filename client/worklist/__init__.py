"""The hospital's worklist: which scan is read next, by whom, and why. It holds patient data and stays here.

What holds, and is tested:
- no scan is ever removed, and none loses its place because it was scored anew: a waiting scan's tier never
  falls, unless a clinician orders it anew;
- a scan that a clinician called stat stands above every scan that is not stat, and above the model's stat;
- after the longest wait of its tier a scan is read as the next one above;
- of several readers who claim one scan, one gets it;
- every priority that a scan was given and everything that happened to it is kept.

`order` says why the order is this one.
"""

from client.worklist.choosing import Choosing, Chosen, Page
from client.worklist.listing import OPEN, Listing
from client.worklist.model_in_use import ModelInUse
from client.worklist.one_scan import OneScan
from client.worklist.reading import Reading
from client.worklist.records import Arrival, Given, Happened, Row, Waited
from client.worklist.scans import Reprioritised
from client.worklist.tables import READ, READING, STATES, WAITING

__all__ = [
    "OPEN",
    "READ",
    "READING",
    "STATES",
    "WAITING",
    "Arrival",
    "Chosen",
    "Given",
    "Happened",
    "Listing",
    "ModelInUse",
    "Page",
    "Reprioritised",
    "Row",
    "Waited",
    "Worklist",
]


class Worklist(Reading, Choosing, OneScan):
    """All of it: `open`, `put`, `order`, `reprioritise`; `rows`, `page`; `claim`, `release`, `finish`,
    `reopen`.
    """
