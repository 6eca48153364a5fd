"""gemm in plain torch: what a torch package calls for shapes that were not verified."""


def run(constants, a, b):
    return a @ b.T
