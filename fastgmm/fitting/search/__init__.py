"""The search behind `select`: many candidates on the same rows, and better fits of the most promising ones.

It knows starts, EM and restarts. It must not know criteria by name, tables or estimators.
"""
