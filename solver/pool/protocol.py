"""What the server and a solver process send each other: chunks of portfolios, and one message for each portfolio."""

from msgspec import Raw, Struct, msgpack

OUT_OF_MEMORY = 71
"""Exit code of a solver process that could not allocate memory."""

LENGTH_BYTES = 4
"""A message on the socket, in either direction, is its length in this many bytes, big-endian, then its msgpack."""


class ChunkEntry(Struct, frozen=True, array_like=True):
    """One portfolio of a chunk.

    Attributes:
        problem: the encoded portfolio.
        deadline: after which nobody needs its result, on `time.monotonic()`, which all processes of a machine share.
    """

    problem: Raw
    deadline: float | None


class Ready(Struct, frozen=True, tag=True):
    """The process has solved a portfolio of its own and waits for chunks. Sent once."""


class Begun(Struct, frozen=True, tag=True):
    """A chunk has arrived and its first portfolio is being solved."""


class Completed(Struct, frozen=True, tag=True):
    """The result of the next portfolio of the chunk, and when its solving began and ended on `time.monotonic()`."""

    result: Raw
    began: float
    ended: float


class Late(Struct, frozen=True, tag=True):
    """The deadline of the next portfolio of the chunk passed before its turn."""


class Refused(Struct, frozen=True, tag=True):
    """The next portfolio of the chunk is an InvalidPortfolio with this message."""

    message: str


class Failed(Struct, frozen=True, tag=True):
    """Solving the next portfolio of the chunk raised an exception, with this traceback."""

    message: str
    traceback: str


class NotBegun(Struct, frozen=True, tag=True):
    """The time of the chunk was over before the turn of its next portfolio."""


type Message = Ready | Begun | Completed | Late | Refused | Failed | NotBegun

encode = msgpack.Encoder().encode
decode_chunk = msgpack.Decoder(list[ChunkEntry]).decode
decode_message = msgpack.Decoder(Message).decode
