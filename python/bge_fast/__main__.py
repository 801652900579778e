"""``python -m bge_fast`` is ``bge-fast``."""

import sys

from bge_fast.commands.cli import main

if __name__ == "__main__":
    sys.exit(main())
