"""What a solver process does with a portfolio: the question, the calculation, the record and the answer."""
