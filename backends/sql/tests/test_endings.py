"""What follows from a caller's transaction is listened for once, however it is reached."""

from __future__ import annotations

from sqlalchemy import create_engine

from sessiontracker_sql.endings import Ending


def test_engines_made_of_one_with_other_options_add_no_listeners() -> None:
    engine = create_engine("sqlite://")
    ended: list[str] = []
    for number in range(3):
        # Each is an engine of its own, and all have one dialect and one pool.
        with engine.execution_options(number=number).begin() as connection:
            Ending.of(connection).add(connection, lambda: ended.append("committed"), ended.clear)
    assert ended == ["committed"] * 3
    assert len(list(engine.dialect.dispatch.handle_error)) == 1
    assert len(list(engine.pool.dispatch.checkin)) == 1
    engine.dispose()
