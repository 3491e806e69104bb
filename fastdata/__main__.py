"""The `fastdata` command from its first moment on: a signal may come before anything is loaded."""

import gc

from fastdata.cli.signals import leave_at_once, stop_as_by_ctrl_c

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit; see `fastdata.cli.main.main`."""
    leave_at_once()
    from fastdata.cli.main import main as run

    stop_as_by_ctrl_c()
    try:
        run()
    finally:
        # Python would look through all modules for garbage, which takes a tenth of a second.
        gc.freeze()


if __name__ == "__main__":
    main()
