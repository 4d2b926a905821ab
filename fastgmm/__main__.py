"""`python -m fastgmm`, and the console script `fastgmm`: see cli."""

import io
import sys

from fastgmm.cli import main as run


def main() -> int:
    """Run the command line on what was typed; return the exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files and columns that a console cannot show
    return run()


if __name__ == "__main__":
    sys.exit(main())
