"""A broker that can be killed: runs until its input ends. Prints its address."""

import sys

from tests.support.mockbroker import MockBroker

if __name__ == "__main__":
    with MockBroker() as broker:
        broker.create(sys.argv[1])
        sys.stdout.write(f"{broker.address}\n")
        sys.stdout.flush()
        sys.stdin.read()
