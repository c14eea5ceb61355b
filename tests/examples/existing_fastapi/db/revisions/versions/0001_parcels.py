"""Parcels."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "parcel",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("code", sa.String, nullable=False, unique=True),
        sa.Column("weight_g", sa.Integer, nullable=False),
    )
    op.create_check_constraint("parcel_weight_check", "parcel", "weight_g > 0")


def downgrade() -> None:
    op.drop_table("parcel")
