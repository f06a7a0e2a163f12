"""What a process holds in memory, as its own kernel's books say. What getrusage tells of a child begins with its parent's."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

from prm.errors import PrmError


def resident(field: str = "VmHWM", reset: bool = False) -> int:
    """Bytes of this process's resident memory now (VmRSS) or at its peak since the last reset (VmHWM)."""
    try:
        if reset:
            ctypes.CDLL(None).malloc_trim(0)  # else what was freed before would be reused unseen
            Path("/proc/self/clear_refs").write_text("5")
        return 1024 * int(re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])
    except (OSError, AttributeError) as error:
        raise PrmError(
            f"bench: peak memory cannot be read here ({error}); run it on Linux with glibc, or on a GPU"
        ) from None
