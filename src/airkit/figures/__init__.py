"""Pictures: what the model saw, how it saw it, where it erred, and how it learned.

The only home of matplotlib, which is used through ``Figure`` alone: pyplot keeps global state.
"""
