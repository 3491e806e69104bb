"""`fastdata mcp`: metrics and layers for assistants, by the Model Context Protocol.

`tools` says what an assistant can ask, and answers it with what `fastdata/web` tells of metrics and
layers; `server` speaks the protocol. Nothing is written.
"""

from importlib.util import find_spec

from fastdata.errors import SettingsError

__all__ = ["check_installed"]


def check_installed() -> None:
    """See that the extra `mcp` is there, before anything of it is imported.

    Raises:
        SettingsError: It is not.
    """
    if find_spec("mcp") is None:
        raise SettingsError(
            "mcp, which speaks with assistants, is not installed:"
            " pip install 'fastdata-lambda[mcp]'"
        )
