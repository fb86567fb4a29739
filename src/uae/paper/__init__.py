"""The paper's tables, figures and report, made from records alone. It imports no torch."""
