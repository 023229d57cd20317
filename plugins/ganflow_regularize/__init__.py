"""placeholder"""

from ganflow import hookimpl


@hookimpl
def register(offer):
    pass
