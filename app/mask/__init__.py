"""The mask of stage 1 in the browser: which block sees which while it is encoded, from 2 to 20,000 blocks."""
