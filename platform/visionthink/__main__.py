"""`python -m visionthink`: the command line where the console script is not on the PATH."""

from visionthink.cli import main

if __name__ == "__main__":
    main()
