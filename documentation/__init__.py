"""The documentation as a site: its contents, the reference that is generated from code, and what judges the pages.

`make docs` builds it. `docs/` stays readable where the repository is looked at; the site adds to it what code knows
better.
"""
