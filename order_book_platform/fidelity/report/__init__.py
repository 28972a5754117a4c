"""The report for people: figures, pages, and many reports compared.

In: a measured day, or published reports. Out: SVG figures and HTML pages.
"""
