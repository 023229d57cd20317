"""Data: named fields with shapes and ranges, a training part, a held-out part, and the feed that draws batches."""

from ganflow.data.base import Data, Field, IterableData, StreamData, TensorData
from ganflow.data.drawing import Feed

__all__ = ["Data", "Feed", "Field", "IterableData", "StreamData", "TensorData"]
