from collections.abc import Callable, Iterator
from itertools import count

import pytest
from sqlalchemy.orm import Session

from shop.database import new_engine
from shop.models import Customer


@pytest.fixture
def session(real_postgres) -> Iterator[Session]:
    """A session on a database of this test's own, migrated and empty."""
    engine = new_engine(real_postgres.url)
    with Session(engine) as session:
        yield session
    engine.dispose()


@pytest.fixture
def make_customer(session: Session) -> Callable[..., Customer]:
    """A factory: what a test does not care about has a value of its own."""
    numbers = count(1)

    def make(**values: object) -> Customer:
        customer = Customer(**({"email": f"customer{next(numbers)}@example.com"} | values))
        session.add(customer)
        session.commit()
        return customer

    return make
