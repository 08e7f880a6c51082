"""`python -m poolaudit`."""

from poolaudit.cli.main import main

main()
