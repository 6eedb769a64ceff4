"""Memory for what a call of an IREE module makes and drops: kept between calls, shared by all modules."""

from __future__ import annotations

from collections.abc import Iterable
from weakref import WeakValueDictionary

from iree import runtime as rt

NEEDED = "iree.abi.transients.size.constant"
"""What a function's reflection calls the bytes that it needs."""

MEASURE = "iree.abi.transients.size"
"""The same, of the function that gives the bytes for a call's arguments."""


class Need:
    """How many bytes calls of a function need. All have the same sizes.

    `nbytes`: None until `measure`, a function of the same arguments, has said it.
    """

    def __init__(self, nbytes: int | None, measure: rt.VmFunction | None = None) -> None:
        self.nbytes = nbytes
        self._measure = measure

    @staticmethod
    def of(module: rt.VmModule, function: rt.VmFunction) -> Need | None:
        """The one of a module's function; None where it does not say."""
        said = function.reflection
        if NEEDED in said:
            return Need(int(said[NEEDED]))
        measure = module.lookup_function(said[MEASURE]) if MEASURE in said else None
        return None if measure is None else Need(None, measure)

    def anew(self) -> Need:
        """The one of calls of other sizes."""
        return self if self._measure is None else Need(None, self._measure)

    def of_call(self, context: rt.VmContext, views: Iterable[rt.HalBufferView], memory: CallMemory) -> int:
        """The bytes that calls on such arguments need; raises what IREE raises."""
        if self.nbytes is None:
            assert self._measure is not None, "without a function the bytes are known"
            arguments, results = rt.VmVariantList(1), rt.VmVariantList(1)
            # It takes the memory, too, and does not look at it.
            unread = memory.take(0)
            for argument in (*views, unread):
                arguments.push_ref(argument)  # pyright: ignore[reportArgumentType]
            context.invoke(self._measure, arguments, results)
            memory.give(unread)
            self.nbytes = int(results.get_variant(0))
        return self.nbytes


class CallMemory:
    """Buffers of one device that no call is using: as many as there ever were calls at a time.

    IREE allocates such memory anew for each call where it is not given. The C library then maps and unmaps
    it if it is large, and the kernel clears every page: 24 of Whisper-tiny's 254 ms. A buffer lives until the
    last module of its device is gone.
    """

    def __init__(self, device: rt.HalDevice) -> None:
        self._device = device
        self._free: list[rt.HalBuffer] = []

    @staticmethod
    def of(device: rt.HalDevice) -> CallMemory:
        """The one of a device."""
        found = _all.get(id(device))
        if found is None:
            found = _all[id(device)] = CallMemory(device)
        return found

    def take(self, nbytes: int) -> rt.HalBuffer:
        """A buffer of at least `nbytes` for one call; raises what IREE raises where memory is short."""
        try:
            buffer = self._free.pop()
        except IndexError:
            return self._new(nbytes)
        # A smaller one is dropped: in its place comes one that suits both.
        return buffer if buffer.byte_length() >= nbytes else self._new(nbytes)

    def give(self, buffer: rt.HalBuffer) -> None:
        """Take a buffer back when the call is over. After a failed one it is dropped instead."""
        self._free.append(buffer)

    def _new(self, nbytes: int) -> rt.HalBuffer:
        buffer = self._device.allocator.allocate_buffer(
            memory_type=rt.MemoryType.DEVICE_LOCAL | rt.MemoryType.HOST_VISIBLE,
            allowed_usage=rt.BufferUsage.DEFAULT | rt.BufferUsage.MAPPING,
            allocation_size=max(nbytes, 1),
        )
        assert isinstance(buffer, rt.HalBuffer), "without an element type it is not a view"
        return buffer


# A device lives as long as its memory, so that no other device has its address.
_all: WeakValueDictionary[int, CallMemory] = WeakValueDictionary()
