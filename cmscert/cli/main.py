"""The console script."""


def run() -> None:
    """Run the command line; placeholder until the commands land."""
