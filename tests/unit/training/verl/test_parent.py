import os
import signal
import subprocess
import sys
import time

WAITS = """
import signal, time
from visionthink.training.verl.parent import end_with_parent

end_with_parent()
print("ready", flush=True)
time.sleep(60)
"""


def test_a_process_ends_with_its_parent() -> None:
    pipe, ours = os.pipe()
    with subprocess.Popen([sys.executable, "-c", WAITS], stdin=pipe, stdout=subprocess.PIPE) as child:
        os.close(pipe)
        assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        assert child.poll() is None
        os.close(ours)
        start_s = time.monotonic()
        assert child.wait(15) == -signal.SIGTERM
        assert time.monotonic() - start_s < 10
