"""python -m prm"""

import sys

from prm.cli import main

if __name__ == "__main__":  # processes that are spawned import this module again
    sys.exit(main())
