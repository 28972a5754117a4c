"""Binance's market data: what its markets differ in, its messages, and the decoder of a raw log.

In: the raw log of a capture, or a file of recorded messages. Out: canonical rows in int64 pips with exact ids.
"""
