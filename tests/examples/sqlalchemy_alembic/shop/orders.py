"""What customers do."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shop.models import Customer, Order


def place(session: Session, customer: Customer, item: str, quantity: int = 1) -> Order:
    """Order something; that is final."""
    order = Order(customer=customer, item=item, quantity=quantity)
    session.add(order)
    session.commit()
    return order


def total(session: Session, customer: Customer) -> int:
    """How many things a customer has ordered."""
    wanted = select(func.sum(Order.quantity)).where(Order.customer == customer)
    return session.scalar(wanted) or 0
