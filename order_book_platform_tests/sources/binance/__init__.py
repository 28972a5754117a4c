"""Tests of Binance's messages and of the decoder of a raw log."""
