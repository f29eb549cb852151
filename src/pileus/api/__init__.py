"""The Python face: what `import pileus` offers beside `load` and `engines`.

One module for each thing that it needs: `reading` must work where no torch is installed.
"""
