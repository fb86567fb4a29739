"""The paper's tables, figures and report, from records alone. Imports no torch."""
