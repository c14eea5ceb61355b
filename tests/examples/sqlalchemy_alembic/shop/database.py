"""The way to the database."""

from sqlalchemy import Engine, create_engine, make_url


def new_engine(url: str) -> Engine:
    """An engine for a URL that names no driver, as those of envkit and of most hosts do."""
    # SQLAlchemy 2.0 would take psycopg2 for postgresql://
    return create_engine(make_url(url).set(drivername="postgresql+psycopg"))
