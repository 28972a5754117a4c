"""The loops of the simulated market, which play its order flow message by message.

In: parameters and quantile tables that `simulate.market` measures and lays out, the arrays of a market, a seed. Out:
columns of messages, level changes, best bid/ask updates and trades, and rows of the book. Everything is integer
arithmetic on tables and a splitmix64 generator, so equal input gives equal output on every machine.
"""
