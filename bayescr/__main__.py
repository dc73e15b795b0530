"""``python -m bayescr``: the command line."""

from bayescr.cli import main

if __name__ == "__main__":
    main()
