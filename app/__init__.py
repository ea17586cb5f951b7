"""The app: pages over a `Workspace` of models, sessions and jobs. `launch` starts it; importing it starts nothing."""

import os

# Gradio reads this when it is imported, which every module here does.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
