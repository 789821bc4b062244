"""`order-generation backup` and `order-generation restore`."""

import os
import sys
import tempfile
from pathlib import Path
from typing import IO

import click

FILE = click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
STANDARD_STREAM = Path("-")


@click.command()
@FILE
def backup(file: Path) -> None:
    """Write the database to a file.

    FILE is the file, or `-` for standard output. MONGODB_URL and DATABASE_NAME select the database. The service may
    keep running. FILE is written completely or not at all.
    """
    from app.settings import load_settings  # noqa: PLC0415 - each command loads only what it needs
    from persistence import BackupFailed, back_up  # noqa: PLC0415

    settings = load_settings()
    try:
        if file == STANDARD_STREAM:
            counts = back_up(settings.mongodb_url, settings.database_name, sys.stdout.buffer)
        else:
            with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False) as target:
                try:
                    counts = back_up(settings.mongodb_url, settings.database_name, _binary(target))
                    target.flush()
                    os.fsync(target.fileno())
                    Path(target.name).rename(file)
                except BaseException:
                    Path(target.name).unlink(missing_ok=True)
                    raise
    except (BackupFailed, OSError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"Backed up {_listed(counts)}.", err=True)


@click.command()
@FILE
def restore(file: Path) -> None:
    """Restore the database from a file.

    FILE is the file, or `-` for standard input. MONGODB_URL and DATABASE_NAME select the database, which must be
    empty. Stop the service first. A damaged or incomplete file changes nothing.
    """
    from app.settings import load_settings  # noqa: PLC0415 - each command loads only what it needs
    from persistence import BackupFailed, restore_backup  # noqa: PLC0415

    settings = load_settings()
    try:
        if file == STANDARD_STREAM:
            with tempfile.TemporaryFile() as copy:
                while block := sys.stdin.buffer.read(1 << 20):
                    copy.write(block)
                counts = restore_backup(settings.mongodb_url, settings.database_name, _binary(copy))
        else:
            with file.open("rb") as source:
                counts = restore_backup(settings.mongodb_url, settings.database_name, source)
    except (BackupFailed, OSError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"Restored {_listed(counts)}.", err=True)


def _binary(file: object) -> IO[bytes]:
    stream: IO[bytes] = file  # type: ignore[assignment]  # tempfile's wrappers are binary streams without saying so
    return stream


def _listed(counts: object) -> str:
    assert isinstance(counts, dict)
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())
