"""What libraries import only once they are used: imported here, before the forks, instead of in each of them.

The first optimiser that PyTorch makes imports its compiler, 1.5 to 2.5 s of a processor, although nothing is
compiled; the first connection of httpx imports its transport. Nothing is computed here: a process that has
started PyTorch's threads cannot be forked safely.
"""

import httpcore  # noqa: F401
import torch._dynamo  # noqa: F401
