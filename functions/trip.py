"""A trip: hotel, flight and car are booked, and what was booked is taken back if one can't be."""

import asyncio

from pydantic import BaseModel

from outlast import UNKNOWN, HTTPException, Unknown, context, saga, step, workflow


class Trip(BaseModel):
    to: str = "Lisbon"
    nights: int = 3
    car: bool = False


class SoldOut(Exception):
    pass


@step(max_attempts=4, retry_on=ConnectionError)
async def book(what: str, trip: Trip) -> str:
    """Ask the agency. A real one gets the key, so that asking twice books once."""
    await asyncio.sleep(0.05)
    if what == "car" and trip.nights > 14:
        raise SoldOut("there is no car for so long")
    return _key(what)


@step(max_attempts=4, retry_on=ConnectionError)
async def cancel(booking: str | Unknown, what: str, trip: Trip) -> str:
    """Take it back. UNKNOWN: nobody knows whether it was booked, so it is cancelled by the key."""
    await asyncio.sleep(0.05)
    return f"cancelled {_key(what) if booking is UNKNOWN else booking}"


def _key(what: str) -> str:
    return f"{context().workflow_id}/{what}"


@workflow
async def trip(trip: Trip) -> list[str]:
    """Book all of it, or nothing: POST /functions/v1/trip {"to": "Lisbon", "nights": 20, "car": true}."""
    try:
        async with saga() as s:
            wanted = ["hotel", "flight", *(["car"] if trip.car else [])]
            return [await s.do(book, each, trip, undo=cancel) for each in wanted]
    except SoldOut as error:
        raise HTTPException(409, str(error)) from error
