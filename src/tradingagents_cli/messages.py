"""Messages of several commands."""

import typer


def say_database(name: str) -> None:
    """Print which database was used. The message goes to standard error, since scripts read standard output."""
    typer.echo(f"database: {name}", err=True)
