"""Labelled images of every kind behind one port; one kind a file. `open.open_source` finds out which."""
