"""A fair benchmark of unsupervised domain adaptation (UDA) around CyCADA.

The package deliberately imports nothing here, so that ``bench --help`` answers at once.
"""
