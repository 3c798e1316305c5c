"""What is to change, and how, from what is declared and observed: written down as steps."""
