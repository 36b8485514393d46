"""The durable log, on SQLite and in memory.

Its invariants, which the code and the tests cite by number:

- L1  The awaitable of an append is done only after an fsync of the commit that holds its records.
- L2  A record's number grows and is never given twice under one log id, not even where the tail of the file
      was lost: numbers are set aside ahead of use, and a run after a crash begins beyond them.
- L3  A block holds consecutive numbers of one lane and topic, in the order of the appends.
- L4  Of what is not settled, each block is in exactly one place: under the one lease of a stream, in one
      closed range, or among the open blocks of its own stream. Leasing follows the order of numbers.
- L5  A record that leaves the log undelivered is counted by its reason and written to the loss ledger (or
      to the dead letters) in the same commit, and the ledger is told upstream.
- L6  A body goes out only if its checksum holds, and so does that of what its stream says was delivered.
- L7  A topic's partition never changes, not even with the file.
- L8  A log that was started clean has a new log id (D10); the run's number goes on.
- L9  Nothing that the disk does ends the writer. What it does not take within `log_stall_s` is counted lost.
- L10 A number of a log id belongs to a record, or is told upstream: as lost, thinned, or never used. What is
      told is written in the commit that makes it so.
- L11 The WAL stays within 64 MiB, whoever reads the file and for however long.
"""

from sync.log.outbox.memory import MemoryLog
from sync.log.outbox.sqlite import SqliteLog
from sync.log.settings import LogSettings

__all__ = ["LogSettings", "MemoryLog", "SqliteLog"]
