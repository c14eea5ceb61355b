"""What Alembic runs: the migrations, on the database that DATABASE_URL leads to."""

import os

from alembic import context

from shop.database import new_engine
from shop.models import Base

engine = new_engine(os.environ["DATABASE_URL"])
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=Base.metadata)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
