"""Servers read at once, here or by workers near them, and watched from then on."""
