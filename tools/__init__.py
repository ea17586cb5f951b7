"""Scripts for those who work on the project; nothing that the product needs."""
