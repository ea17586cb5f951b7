"""`python -m dbsa_core`: hands over to the command line."""

import sys

from dbsa_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
