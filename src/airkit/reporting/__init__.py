"""A run as one HTML file: what it was trained on, how well it does, and where it errs.

The only home of jinja2. The file holds its pictures and asks no other place for anything.
"""

from airkit.reporting.write import Report, report

__all__ = ["Report", "report"]
