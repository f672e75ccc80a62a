"""Damage at rest: every way in which the bytes of the books can change, and what is made of it."""
