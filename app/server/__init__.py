"""What the app keeps on its server: models, sessions, jobs in the background and the bundled example.

Knows nothing about how anything looks.
"""
