"""`python -m app`: see `app.cli.program`."""

from app.cli.program import program

if __name__ == "__main__":
    program()
