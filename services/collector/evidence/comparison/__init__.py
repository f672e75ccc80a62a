"""How the records of clients of an external feed are compared: which parts are kept, and who received one sequence."""
