from tests.small import weights as weights
