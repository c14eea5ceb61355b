import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from shop.models import Customer, Order
from shop.orders import place, total


def test_total_counts_a_customers_own_orders(session, make_customer):
    ada, ben = make_customer(), make_customer()
    place(session, ada, "tea", quantity=2)
    place(session, ada, "cake")
    place(session, ben, "tea")
    assert total(session, ada) == 3


def test_order_that_is_refused_leaves_the_others(session, make_customer):
    ada = make_customer()
    place(session, ada, "tea")
    with pytest.raises(IntegrityError, match="order_quantity_check"):
        place(session, ada, "nothing", quantity=0)
    session.rollback()
    assert total(session, ada) == 1


def test_email_is_taken_once(session, make_customer):
    make_customer(email="ada@example.com")
    with pytest.raises(IntegrityError, match="customer_email_key"):
        make_customer(email="ada@example.com")


@pytest.mark.parametrize("item", ["tea", "cake", "milk"])
def test_every_test_begins_with_nothing_and_at_number_one(session, make_customer, item):
    # What the other tests have committed is in databases of their own, and so are their sequences.
    assert session.scalars(select(Customer)).all() == []
    order = place(session, make_customer(), item)
    assert (order.id, order.customer_id) == (1, 1)
    assert [one.item for one in session.scalars(select(Order))] == [item]
