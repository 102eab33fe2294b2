"""Finds a user in a feedback store on PostgreSQL; SQLite's is a file of the project."""

from sqlalchemy import Text, cast, func, or_, select

from flows.privacy.user_pattern import UserPattern
from services.store import Store
from services.store.schema import METADATA


def scan_store(store: Store, user: UserPattern) -> list[str]:
    """The columns in which the user is: as an id or, where the id is distinctive, as a part of any value."""
    found = []
    with store.database.reading(patient=True) as connection:
        for table in METADATA.sorted_tables:
            for column in table.c:
                text = cast(column, Text)
                conditions = [text == user.user_id] if column.name in user.columns else []
                if user.is_distinctive:
                    conditions.append(func.lower(text).contains(user.user_id.lower(), autoescape=True))
                query = select(table.c[0]).where(or_(*conditions)).limit(1)
                if conditions and connection.execute(query).first() is not None:
                    found.append(f"table {table.name}, column {column.name}")
    return found
