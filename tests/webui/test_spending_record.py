"""The record of what a user has spent today, in a real database that several workers write at the same time."""

import asyncio
import contextlib
import itertools
import sys
import types
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import JSON, BigInteger, Column, CursorResult, String, Text, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import declarative_base

import comfyui_tool as tool

pytestmark = pytest.mark.real_clock  # the database works in threads of its own

Base: Any = declarative_base()


class File(Base):  # type: ignore[misc]
    """The table of Open WebUI 0.9.6 to 0.12.4."""

    __tablename__ = "file"
    id = Column(String, primary_key=True, unique=True)
    user_id = Column(String, index=True)
    hash = Column(Text, nullable=True)
    filename = Column(Text)
    path = Column(Text, nullable=True)
    data = Column(JSON, nullable=True)
    meta = Column(JSON, nullable=True)
    created_at = Column(BigInteger, index=True)
    updated_at = Column(BigInteger)


class AsOnPostgreSQL(AsyncSession):
    """A session whose driver does not count the rows that are inserted, as psycopg's does not."""

    async def execute(self, statement: Any, *args: Any, **more: Any) -> Any:
        result = await super().execute(statement, *args, **more)
        return types.SimpleNamespace(rowcount=-1) if statement.is_insert else result


class Database:
    """Open WebUI's database, in which each request comes from the next of three workers."""

    def __init__(self, engines: list[AsyncEngine], session: type[AsyncSession]) -> None:
        makers = [async_sessionmaker(engine, class_=session, expire_on_commit=False) for engine in engines]
        self._makers = itertools.cycle(makers)

    @contextlib.asynccontextmanager
    async def session(self, _db: Any = None) -> AsyncIterator[AsyncSession]:
        async with next(self._makers)() as session:
            yield session

    async def rows(self) -> list[Any]:
        async with self.session() as session:
            return list((await session.execute(select(File))).scalars())


@pytest.fixture(params=[AsyncSession, AsOnPostgreSQL])
async def database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[Database]:
    patient = {"timeout": 60}  # seconds for a lock that another one holds, on a busy machine
    file = f"sqlite+aiosqlite:///{tmp_path}/webui.db"
    engines = [create_async_engine(file, connect_args=patient) for _ in range(3)]
    async with engines[0].begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    whole = Database(engines, request.param)
    offered = {"internal.db": {"get_async_db_context": whole.session}, "models.files": {"File": File}}
    for name, contents in offered.items():
        module = types.ModuleType(f"open_webui.{name}")
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, f"open_webui.{name}", module)
    yield whole
    for engine in engines:
        await engine.dispose()


def ann() -> tool.StoredSpending:
    """The record as a worker opens it."""
    return tool.StoredSpending("ann", b"secret")


async def test_a_first_amount_counts_once_where_the_driver_does_not_count_what_an_insert_wrote(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of PostgreSQL does."""
    counted = CursorResult.rowcount.fget
    assert counted
    monkeypatch.setattr(CursorResult, "rowcount", property(lambda self: -1 if self.context.isinsert else counted(self)))
    assert await ann().reserve(0.04, 0.13) == pytest.approx(0.09)
    (row,) = await database.rows()
    assert row.data["dollars"] == 0.04


async def test_what_was_spent_adds_up_to_the_limit(database: Database) -> None:
    left = [await ann().reserve(0.4, 1.0) for _ in range(3)]
    assert left == [pytest.approx(0.6), pytest.approx(0.2), None]


async def test_what_is_given_back_can_be_spent(database: Database) -> None:
    await ann().reserve(1.0, 1.0)
    await ann().give_back(0.3)
    assert await ann().reserve(0.3, 1.0) == pytest.approx(0.0)


async def test_no_more_is_given_back_than_was_spent(database: Database) -> None:
    await ann().give_back(5.0)
    assert await ann().reserve(1.1, 1.0) is None


async def test_each_user_has_a_record_of_their_own(database: Database) -> None:
    await ann().reserve(1.0, 1.0)
    assert await tool.StoredSpending("bob", b"secret").reserve(1.0, 1.0) == pytest.approx(0.0)
    assert len(await database.rows()) == 2


async def test_a_new_day_begins_with_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    await ann().reserve(1.0, 1.0)
    monkeypatch.setattr(tool, "_today", lambda: "2031-01-01")
    assert await ann().reserve(1.0, 1.0) == pytest.approx(0.0)


async def test_workers_at_the_same_moment_do_not_pass_the_limit_together(database: Database) -> None:
    left = await asyncio.gather(*(ann().reserve(0.25, 1.0) for _ in range(8)))
    assert sum(one is not None for one in left) == 4
    (row,) = await database.rows()
    assert row.data["dollars"] == 1.0


async def test_the_row_belongs_to_nobody_and_its_id_cannot_be_guessed(database: Database) -> None:
    await ann().reserve(0.1, 1.0)
    (row,) = await database.rows()
    assert row.user_id == ""
    assert "ann" not in row.id
    assert row.id != tool.StoredSpending("ann", b"another secret")._id


async def test_where_it_cannot_be_kept_nothing_is_spent(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "open_webui.internal.db", types.ModuleType("open_webui.internal.db"))
    with pytest.raises(tool.CreditsRefused):
        await ann().reserve(0.1, 1.0)
    await ann().give_back(0.1)
    assert "cannot be recorded: ImportError" in caplog.text
