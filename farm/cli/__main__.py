"""`python -m farm.cli`: the command line where the script `farm` is not on the path."""

from farm.cli.main import main

if __name__ == "__main__":
    main()
