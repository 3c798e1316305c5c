"""The only place that changes anything: plan, apply, journal, resume, roll back."""
