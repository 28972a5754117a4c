"""Module that Dagster loads: the definitions of the settings in force (`OBP_CONFIG`, else `./platform.toml`)."""

from order_book_platform.defs import build_definitions

defs = build_definitions()
