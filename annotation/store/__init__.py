"""Every query, as functions that take the session first."""
