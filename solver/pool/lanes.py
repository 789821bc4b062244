"""The queue in front of the solver processes: first come, first served within a lane, round robin between lanes."""

from collections import OrderedDict
from collections.abc import Hashable


class Lanes[T: Hashable]:
    """A queue that serves one item of each lane in turn, so that a long lane does not starve a short one.

    Every operation takes constant time, whatever the number of lanes and items.
    """

    def __init__(self) -> None:
        self._lanes: OrderedDict[Hashable, OrderedDict[T, None]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def append(self, lane: Hashable, item: T) -> None:
        """Add an item, not queued yet, at the end of its lane; a new lane is served after the others."""
        self._lanes.setdefault(lane, OrderedDict())[item] = None
        self._length += 1

    def restore(self, lane: Hashable, item: T) -> None:
        """Return a dequeued item to the front of its lane, and serve that lane next."""
        items = self._lanes.setdefault(lane, OrderedDict())
        items[item] = None
        items.move_to_end(item, last=False)
        self._lanes.move_to_end(lane, last=False)
        self._length += 1

    def first(self) -> T:
        """Return the item that `pop` would remove. Raises StopIteration if the queue is empty."""
        return next(iter(next(iter(self._lanes.values()))))

    def pop(self) -> T:
        """Remove and return the first item of the lane whose turn it is. Raises KeyError if the queue is empty."""
        lane, items = self._lanes.popitem(last=False)
        item, _ = items.popitem(last=False)
        if items:
            self._lanes[lane] = items
        self._length -= 1
        return item

    def discard(self, lane: Hashable, item: T) -> bool:
        """Drop an item; False if it is not queued."""
        items = self._lanes.get(lane)
        if items is None or item not in items:
            return False
        del items[item]
        if not items:
            del self._lanes[lane]
        self._length -= 1
        return True
