"""What the Data tab shows of a file: its columns, its problems, and its rows by label and length."""
