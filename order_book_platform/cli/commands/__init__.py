"""The commands of `obp`, one module each, with a function of the module's name that `cli.group` finds.

In: parsed options and the `Invocation` with the settings file. Out: tables or JSON on stdout; False where the data or a
gate failed. Modules import what is heavy inside functions, so that `--help` stays fast.
"""
