"""Orders of more than one."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("order", sa.Column("quantity", sa.Integer, nullable=False, server_default="1"))
    op.create_check_constraint("order_quantity_check", "order", "quantity > 0")


def downgrade() -> None:
    op.drop_column("order", "quantity")
