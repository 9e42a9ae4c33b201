"""The command `outlast`, also as `python -m outlast`."""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Run the command of this process; its exit status."""
    if sys.argv[1:2] == ["serve"]:
        from outlast.host.collector import collect_later
        from outlast.host.hash_seed import hash_alike

        hash_alike(os.environ.get("SUPABASE_DB_URL"))  # before all that takes time to load
        collect_later()
    from outlast.cli.main import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
