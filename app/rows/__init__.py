"""What the tab that classifies a file shows of its rows."""
