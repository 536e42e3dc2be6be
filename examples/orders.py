"""An order and its checkout, which change together or not at all: python examples/orders.py"""

import tempfile
from pathlib import Path

from sqlalchemy import Column, MetaData, String, Table, create_engine, insert, select
from sqlalchemy.exc import IntegrityError

from sessiontracker import Session, SessionTracker, StaleSessionError

metadata = MetaData()
orders = Table("orders", metadata, Column("id", String, primary_key=True))


class Checkout(Session):
    paid: bool = False


with tempfile.TemporaryDirectory() as folder:
    url = f"sqlite:///{Path(folder) / 'shop.db'}"  # PostgreSQL, MariaDB and MySQL just as well
    engine = create_engine(url)
    metadata.create_all(engine)

    with SessionTracker(backend="sql", url=url) as tracker:
        checkout = tracker.start(Checkout(key="order-42"))

        with engine.begin() as connection:
            connection.execute(insert(orders).values(id="order-42"))
            checkout.paid = True
            tracker.bind(connection).finish(checkout)
        print("together:   ", tracker.get_finished(Checkout, "order-42").paid)

        checkout = tracker.start(Checkout(key="order-42"))
        try:
            with engine.begin() as connection:
                tracker.bind(connection).finish(checkout)
                connection.execute(insert(orders).values(id="order-42"))  # there is one
        except IntegrityError:
            print("not at all: ", tracker.get(Checkout, "order-42").paid)
        try:
            tracker.update(checkout)  # it was saved in a transaction that never was
        except StaleSessionError:
            print("stale:      ", "get() it again")

    with engine.connect() as connection:
        print("orders:     ", connection.scalars(select(orders.c.id)).all())
    engine.dispose()
