"""What the tab that evaluates methods shows."""
