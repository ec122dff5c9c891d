"""The ordinary way: the service as the tutorials of its parts would write it.

It uses an ORM session for each request, the user loaded from the token's subject, `response_model`, and two queries for
a page. Like the tutorials, it ignores limits, races and outages.
"""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import argon2
import jwt
from fastapi import APIRouter, Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from pydantic import BaseModel, ConfigDict
from sqlalchemy import JSON, DateTime, ForeignKey, Index, String, Text, UniqueConstraint, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

KEY: Final = os.environ["JWT_SECRET_KEY"]

engine = create_async_engine(os.environ["DATABASE_URL"])
new_session = async_sessionmaker(engine, expire_on_commit=False)
password_hasher = argon2.PasswordHasher()
oauth2_scheme = OAuth2PasswordBearer(tokenUrl="/api/v1/auth/login")


class Base(DeclarativeBase):
    """The tables."""


class User(Base):
    """A row of users."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    password_hash: Mapped[str] = mapped_column(Text)
    is_active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Strategy(Base):
    """A row of strategies."""

    __tablename__ = "strategies"
    __table_args__ = (UniqueConstraint("owner_id", "name"), Index("ix_strategies_owner_id_id", "owner_id", "id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(Text)
    parameters: Mapped[dict[str, Any]] = mapped_column(JSON)
    is_active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=lambda: datetime.now(UTC))
    updated_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), default=lambda: datetime.now(UTC), onupdate=lambda: datetime.now(UTC)
    )


class StrategyCreate(BaseModel):
    """A new strategy."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] = {}
    is_active: bool = True


class StrategyUpdate(BaseModel):
    """The fields to change."""

    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    is_active: bool | None = None


class StrategyOut(BaseModel):
    """A strategy."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    description: str | None
    parameters: dict[str, Any]
    is_active: bool
    created_at: datetime
    updated_at: datetime


class StrategyPage(BaseModel):
    """A page of strategies."""

    items: list[StrategyOut]
    total: int
    skip: int
    limit: int


class Token(BaseModel):
    """A token."""

    access_token: str
    token_type: str


class Health(BaseModel):
    """The service runs."""

    status: str
    version: str


async def get_session() -> AsyncIterator[AsyncSession]:
    """A session for a request."""
    async with new_session() as session:
        yield session


Session = Annotated[AsyncSession, Depends(get_session)]


async def get_current_user(token: Annotated[str, Depends(oauth2_scheme)], session: Session) -> User:
    """The user of the token's subject."""
    try:
        claims = jwt.decode(token, KEY, algorithms=["HS256"], audience="tradingagents-api")
    except jwt.InvalidTokenError:
        raise HTTPException(401, "Could not validate credentials") from None
    user = await session.get(User, int(claims["sub"]))
    if user is None or not user.is_active:
        raise HTTPException(401, "Could not validate credentials")
    return user


CurrentUser = Annotated[User, Depends(get_current_user)]


app = FastAPI()
router = APIRouter(prefix="/api/v1")


@app.get("/health", response_model=Health)
async def health() -> Any:
    """Tell that the service runs."""
    return {"status": "healthy", "version": "1"}


@router.post("/auth/login", response_model=Token)
async def login(form: Annotated[OAuth2PasswordRequestForm, Depends()], session: Session) -> Any:
    """Give a token."""
    user = (await session.execute(select(User).where(User.email == form.username))).scalar_one_or_none()
    try:
        password_hasher.verify(user.password_hash if user else "", form.password)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        raise HTTPException(401, "Incorrect username or password") from None
    assert user is not None
    now = datetime.now(UTC)
    claims = {
        "iss": "tradingagents",
        "aud": "tradingagents-api",
        "sub": str(user.id),
        "iat": now,
        "exp": now + timedelta(minutes=30),
        "jti": os.urandom(16).hex(),
    }
    return {"access_token": jwt.encode(claims, KEY, algorithm="HS256"), "token_type": "bearer"}


@router.get("/strategies", response_model=StrategyPage)
async def list_strategies(
    user: CurrentUser, session: Session, skip: int = 0, limit: int = 100, active_only: bool = False
) -> Any:
    """List strategies."""
    query = select(Strategy).where(Strategy.owner_id == user.id)
    if active_only:
        query = query.where(Strategy.is_active)
    total = await session.scalar(select(func.count()).select_from(query.subquery()))
    items = (await session.scalars(query.order_by(Strategy.id).offset(skip).limit(limit))).all()
    return {"items": items, "total": total, "skip": skip, "limit": limit}


@router.post("/strategies", response_model=StrategyOut, status_code=201)
async def create_strategy(body: StrategyCreate, user: CurrentUser, session: Session) -> Any:
    """Store a strategy."""
    strategy = Strategy(owner_id=user.id, **body.model_dump())
    session.add(strategy)
    await session.commit()
    await session.refresh(strategy)
    return strategy


async def get_own_strategy(strategy_id: int, user: CurrentUser, session: Session) -> Strategy:
    """One of the user's strategies."""
    query = select(Strategy).where(Strategy.id == strategy_id, Strategy.owner_id == user.id)
    strategy = (await session.execute(query)).scalar_one_or_none()
    if strategy is None:
        raise HTTPException(404, "Strategy not found")
    return strategy


@router.get("/strategies/{strategy_id}", response_model=StrategyOut)
async def get_strategy(strategy: Annotated[Strategy, Depends(get_own_strategy)]) -> Any:
    """Read a strategy."""
    return strategy


@router.put("/strategies/{strategy_id}", response_model=StrategyOut)
async def update_strategy(
    body: StrategyUpdate, strategy: Annotated[Strategy, Depends(get_own_strategy)], session: Session
) -> Any:
    """Change a strategy."""
    for name, value in body.model_dump(exclude_unset=True).items():
        setattr(strategy, name, value)
    await session.commit()
    await session.refresh(strategy)
    return strategy


app.include_router(router)
