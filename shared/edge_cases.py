"""What a score is worth where its formula divides zero by zero: decided here, once, as a table.

MONAI's `DiceMetric` gives NaN on a scan without tumour by default, and a mean that skips NaN rewards a model
for nothing it did: a false alarm on a healthy scan would not count at all. Here every scan counts.

Where labelled points are the truth, a mask is empty when no labelled voxel lies in it.
"""

from types import MappingProxyType

# (reference is empty, prediction is empty) -> Dice
DICE_ON_EMPTY = MappingProxyType(
    {
        (True, True): 1.0,  # rightly nothing
        (True, False): 0.0,  # false alarm
        (False, True): 0.0,  # missed
    }
)
