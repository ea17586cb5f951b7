"""The tabs of the page, one file each; `page` holds what they share."""
