"""Sources of the exchange's data. In: recordings, or a simulated market. Out: events in order of time, and the book.

An event is one change of the market as a message of one stream. A connection may get several depth events in one
message.
"""
