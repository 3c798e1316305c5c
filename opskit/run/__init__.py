"""Carry plans out: apply, verify, undo, resume. Every step is in the journal first."""
