#!/usr/bin/python3
"""etcdload.py grant|put|get HOST:PORT COUNT   etcd v3 over gRPC with 32 calls under way (Debian's python3-grpcio; the few messages are written by hand).
put: a number under a lease that was granted before, which is what a registration is; get: linearizable. One line of JSON."""
import json, random, sys, threading, time
import grpc

mode, target, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
WINDOW, USERS = 32, 60_000


def varint(n):
    out = b''
    while True:
        n, low = n >> 7, n & 127
        if not n:
            return out + bytes([low])
        out += bytes([low | 128])


def data(field, b):
    return varint(field << 3 | 2) + varint(len(b)) + b


def number(field, n):
    return varint(field << 3) + varint(n)


def first_number(message, field):
    """The first varint field of that number; what stands before it is passed over."""
    at = 0

    def read():
        nonlocal at
        n = shift = 0
        while True:
            c = message[at]
            at += 1
            n |= (c & 127) << shift
            shift += 7
            if c < 128:
                return n

    while at < len(message):
        tag = read()
        if tag & 7 == 0:
            value = read()
            if tag >> 3 == field:
                return value
        else:
            length = read()
            at += length
    raise ValueError('no such field')


same = lambda b: b
channel = grpc.insecure_channel(target)
call = lambda name: channel.unary_unary('/etcdserverpb.' + name, request_serializer=same, response_deserializer=same)
put, get, grant = call('KV/Put'), call('KV/Range'), call('Lease/LeaseGrant')
key = lambda n: b'num/%07d' % n
value = lambda n: b'{"ip":"10.%d.%d.%d","port":5060}' % (n >> 16 & 255, n >> 8 & 255, n & 255)
if mode == 'grant':
    do, ask = grant, lambda k: number(1, 3600)
elif mode == 'put':
    leases = [first_number(grant(number(1, 3600)), 2) for _ in range(500)]
    do, ask = put, lambda k: data(1, key(k % USERS)) + data(2, value(k)) + number(3, leases[k % len(leases)])
else:
    do, ask = get, lambda k: data(1, key(random.randrange(USERS)))
times, failed, places, began = [], 0, threading.Semaphore(WINDOW), time.monotonic()
for k in range(count):
    places.acquire()
    start, future = time.monotonic(), do.future(ask(k), timeout=30)

    def done(future, start=start):
        global failed
        if future.exception() is None:
            times.append(time.monotonic() - start)
        else:
            failed += 1
        places.release()

    future.add_done_callback(done)
for _ in range(WINDOW):
    places.acquire()
took = time.monotonic() - began
times.sort()
at = lambda q: int(1e6 * times[int((len(times) - 1) * q)]) if times else 0
print(json.dumps(dict(mode=mode, ok=len(times), bad={'failed': failed} if failed else {}, per_s=len(times) / took, p50_us=at(.5), p99_us=at(.99))))
