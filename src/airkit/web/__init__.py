"""Pages: a run as one HTML file, and the demo that serves a trained model to a browser.

The only home of jinja2. A page holds its pictures and asks no other place for anything.
"""
