"""What a user takes away of an answer: a page that stands alone, its pictures, and its numbers."""
