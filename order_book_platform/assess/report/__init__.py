"""Reports of assessments: their sections, and how people read them.

In: figures and sections as plain values. Out: `sections` makes the parts of report.json, `markdown` and `rule_text`
write them for people.
"""
