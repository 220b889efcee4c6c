"""Peak memory of a process, as Linux counts it."""

from pathlib import Path

PEAK = "VmHWM:"


def peak_mb(pid: int | str = "self") -> float:
    """Return the most memory that a process has had resident so far; raises OSError when it has ended."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    found = [line.split()[1] for line in lines if line.startswith(PEAK)]
    if not found:
        raise OSError(f"process {pid} has ended")
    return int(found[0]) * 1024 / 1e6
