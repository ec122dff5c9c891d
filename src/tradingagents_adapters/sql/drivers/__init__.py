"""The drivers that run the statements: one module each, and their interface (`driver.py`)."""
