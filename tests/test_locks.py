from threading import Thread

import pytest

from pks4_lightning.locks import hold_lock


def test_a_held_lock_is_refused_or_waited_for(tmp_path):
    path, order = tmp_path / "new" / "lock", []

    def wait():
        with hold_lock(path, None):
            order.append("waited")

    waiting = Thread(target=wait)
    with hold_lock(path, AssertionError("free")):
        with pytest.raises(KeyError, match="held"), hold_lock(path, KeyError("held")):
            pass
        waiting.start()
        waiting.join(0.1)
        order.append("ended")
    waiting.join()
    assert order == ["ended", "waited"]
    assert path.exists()
