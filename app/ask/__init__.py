"""What the Ask page shows of one answer: its values, made from predictions or read from a file, and their HTML."""
