"""What runs the statements: one module for each driver, and what all of them have to do (`driver.py`)."""
