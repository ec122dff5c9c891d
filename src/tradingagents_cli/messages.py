"""What several commands tell."""

import typer


def say_database(name: str) -> None:
    """Tell which database was used: on standard error, since scripts read what the commands print."""
    typer.echo(f"database: {name}", err=True)
