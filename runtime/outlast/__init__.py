"""Outlast: Python functions next to a Supabase project that outlast crashes, deploys and freezes."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outlast.sdk.public import *  # noqa: F403 - those of its __all__
    from outlast.sdk.public import __all__ as __all__


def __getattr__(name: str) -> Any:
    """Load the public names when the first is asked for: the command starts without them."""
    # Python itself looks for these on a package before anybody has asked for a name.
    if name.startswith("__") and name != "__all__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from outlast.sdk import public

    globals().update({each: getattr(public, each) for each in ("__all__", *public.__all__)})
    try:
        return globals()[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def __dir__() -> list[str]:
    """The public names, for completion."""
    from outlast.sdk import public

    return sorted({*globals(), *public.__all__})
