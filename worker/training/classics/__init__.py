"""Published results of classic estimators, reproduced."""
