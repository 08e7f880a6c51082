"""AuditResult to something a person or a machine reads; nothing is measured or judged here."""
