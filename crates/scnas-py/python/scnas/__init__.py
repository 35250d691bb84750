"""Find and train a segmentation network for your own 3-D medical images."""

from ._scnas import (
    Model,
    ScnasError,
    Stopped,
    __version__,
    check,
    evaluate,
    main,
    read,
    search,
    train,
    write,
)

__all__ = [
    "Model",
    "ScnasError",
    "Stopped",
    "check",
    "evaluate",
    "main",
    "read",
    "search",
    "train",
    "write",
]
