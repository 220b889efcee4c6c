"""Memory of a process, as Linux counts it."""

from pathlib import Path

PEAK, ANONYMOUS = "VmHWM:", "RssAnon:"


def peak_mb(pid: int | str = "self") -> float:
    """Return the most memory that a process has had resident so far; raises OSError when it has ended."""
    return _mb(pid, PEAK)


def anonymous_mb(pid: int | str = "self") -> float:
    """Return the resident memory that no file stands behind; raises OSError when the process has ended."""
    return _mb(pid, ANONYMOUS)


def _mb(pid: int | str, key: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    found = [line.split()[1] for line in lines if line.startswith(key)]
    if not found:
        raise OSError(f"process {pid} has ended")
    return int(found[0]) * 1024 / 1e6
