"""The verbs: the EM loop and its initialization."""
