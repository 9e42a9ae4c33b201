"""Settings of a session that this package relies on, whatever a role or a database was given by ALTER."""

from __future__ import annotations

import json

RELIED_ON = {
    # How values look as text: the driver reads them so, and arrays are written so.
    "client_encoding": ("^UTF8$", "UTF8"),
    "DateStyle": ("^ISO,", "ISO"),
    "IntervalStyle": ("^postgres$", "postgres"),
    "extra_float_digits": ("^[1-3]$", "1"),
    "array_nulls": ("^on$", "on"),
    "standard_conforming_strings": ("^on$", "on"),
    # What statements see and how they behave.
    "default_transaction_isolation": ("^read committed$", "read committed"),
    "transform_null_equals": ("^off$", "off"),
    "row_security": ("^on$", "on"),
    # What could end a session. In a pooler's session that is the pooler's business.
    "exit_on_error": ("^off$", "off"),
    "idle_session_timeout": ("^0$", "0"),
}
"""For each setting a regular expression of the values that are fine, and the value to set otherwise."""

RELIED_ON_JSON = json.dumps(
    {name: {"fits": fits, "value": value} for name, (fits, value) in RELIED_ON.items()}
)


def set_local(needed: str) -> bytes:
    """Statements that make the settings of `needed`, a JSON object, for one transaction.

    They take no snapshot, so that the transaction's isolation can still be set.
    """
    names = [name for name in json.loads(needed) if name in RELIED_ON]
    return "".join(f"set local {name} = '{RELIED_ON[name][1]}';" for name in names).encode()
