"""`python -m poolaudit`."""

from poolaudit.cli.main import main

# The renderer's process imports this module again and must not start a second audit.
if __name__ == "__main__":
    main()
