"""What the paths of the server are given."""

from typing import Annotated

from fastapi import Depends, Request

from fastdata.web.desk import Desk

__all__ = ["TheDesk"]


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


TheDesk = Annotated[Desk, Depends(_desk)]
"""A parameter of a path: the desk of its application."""
