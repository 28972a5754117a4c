"""The compiled loops: arrays in, arrays out, no I/O, no memory allocated and no errors raised inside.

In: columns of deltas and snapshots, rows of books, and arrays that the caller owns and keeps from call to call. Out:
the same arrays filled or changed, counts and statuses. The caller turns a status into more memory or an error.
`compiled.kernel` compiles them and keeps the machine code for the next process.
"""
