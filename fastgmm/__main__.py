"""`python -m fastgmm`: see cli.py."""

import io
import sys

from fastgmm.cli import main

if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files and columns that a console cannot show
    sys.exit(main())
