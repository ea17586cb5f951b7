"""`python -m dbsa_core`: hands over to the command line."""

from dbsa_core.cli import run

if __name__ == "__main__":
    run()
