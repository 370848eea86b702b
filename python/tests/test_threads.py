import os
import threading
import time

import pytest


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core")
def test_threads_sample_side_by_side_from_one_model(mlp):
    alone = [mlp.sample(2000, seed=seed) for seed in range(4)]
    found = [None] * 4

    def work(seed):
        found[seed] = mlp.sample(2000, seed=seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    # The GIL is free meanwhile: this thread goes on.
    counted = 0
    while any(thread.is_alive() for thread in threads):
        counted += 1
        time.sleep(0)
    for thread in threads:
        thread.join()
    assert found == alone and counted > 0
