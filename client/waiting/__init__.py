"""What the order saves at this hospital: waits by simulation and by formula, and where each number is from.

What the hospital's own records tell is taken from them, what an option says comes before that, and what
nobody said is assumed; `Analysis.assumptions` lists all of it with its source.
"""

from client.waiting.analysis import FIRST_COME, LIMITED, ORDER, Analysis, analyse
from client.waiting.records import Options, Recorded, own_times

__all__ = ["FIRST_COME", "LIMITED", "ORDER", "Analysis", "Options", "Recorded", "analyse", "own_times"]
