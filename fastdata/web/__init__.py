"""`fastdata serve`: answers, what changes in them, and how the layers are, over HTTP.

Begin with `app`, which says what there is. `answers` is a query from its words to bytes, `looks`
what is known of each metric, `changes` the stream of what has changed in it, `readers` the threads
in which all of that is read. `reports` tells of metrics and layers, to assistants as well, and
`models` has the contract of each response. `pages` and `overview` are for people: `charts` lays out
an answer, `templates/` has the HTML and `assets/` what it loads.
"""

from importlib.util import find_spec

from fastdata.errors import SettingsError

__all__ = ["check_installed", "missing_packages"]


def missing_packages() -> list[str]:
    """What of the extra `web` is not installed."""
    return [name for name in ("fastapi", "jinja2", "uvicorn") if find_spec(name) is None]


def check_installed() -> None:
    """See that the extra `web` is there, before anything of it is imported.

    Raises:
        SettingsError: It is not.
    """
    if missing := missing_packages():
        raise SettingsError(
            f"{' and '.join(missing)}, which serve HTTP, are not installed:"
            " pip install 'fastdata-lambda[web]'"
        )
