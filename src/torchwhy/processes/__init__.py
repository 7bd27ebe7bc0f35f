"""The processes that the program starts: they tell what they raise, and the run that started them says which failed first."""
