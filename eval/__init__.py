"""What measures against gold: the only place, with the signal named `gold`, that opens references."""

from __future__ import annotations

import sys
from collections.abc import Callable

from prm.errors import PrmError


def command(main: Callable[[], object]) -> None:
    """Runs a module's `main` as a command: what the user can mend is one line on stderr and exit status 2."""
    try:
        main()
    except PrmError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
