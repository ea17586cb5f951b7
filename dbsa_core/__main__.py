"""`python -m dbsa_core`: hands over to the command line."""

import sys

from dbsa_core.cli.commands import main
from dbsa_core.quiet import hush_libraries

if __name__ == "__main__":
    hush_libraries()
    sys.exit(main())
