"""``python -m cmscert`` is the console script."""

from cmscert.cli.main import run

if __name__ == "__main__":
    run()
