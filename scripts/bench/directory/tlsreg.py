#!/usr/bin/env python3
"""tlsreg.py HOST:PORT N [--resumed]   N terminals, eight at a time: a TLS connection, REGISTER, 401, REGISTER, 200. With --resumed each goes on with
the session of one before it. One line of JSON; "resumed" says how many handshakes really were."""
import collections, hashlib, json, re, socket, ssl, sys, threading, time

host, port = sys.argv[1].rsplit(':', 1)
count, resume = int(sys.argv[2]), '--resumed' in sys.argv
# Connections left open by each of the eight: all together fewer than one source may have.
KEPT = 20
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
md5 = lambda s: hashlib.md5(s.encode()).hexdigest()


def answer(s):
    got = b''
    while b'\r\n\r\n' not in got:
        more = s.recv(8192)
        if not more:
            break
        got += more
    return got.decode()


def register(i, session):
    """Whether it was registered, whether the handshake was resumed, the socket."""
    s = context.wrap_socket(socket.create_connection((host, int(port))), session=session)
    here, user, auth = s.getsockname()[1], '%07d' % i, ''
    for cseq in (1, 2):
        s.sendall(f'REGISTER sip:lan.test SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:{here};branch=z9hG4bKtls{i}.{cseq};rport\r\nMax-Forwards: 70\r\n'
                  f'From: <sip:{user}@lan.test>;tag=t{i}\r\nTo: <sip:{user}@lan.test>\r\nCall-ID: tls{i}-{began}\r\nCSeq: {cseq} REGISTER\r\n'
                  f'Contact: <sip:{user}@127.0.0.1:{here};transport=tls>\r\nExpires: 3600\r\n{auth}Content-Length: 0\r\n\r\n'.encode())
        said = answer(s)
        if said.startswith('SIP/2.0 200'):
            return True, s.session_reused, s
        nonce = re.search(r'nonce="([^"]+)"', said)
        if not nonce:
            break
        nonce = nonce.group(1)
        secret, asked = md5(f'{user}:lan.test:pw{user}'), md5('REGISTER:sip:lan.test')
        auth = f'Authorization: Digest username="{user}", realm="lan.test", nonce="{nonce}", uri="sip:lan.test", algorithm=MD5, '
        if 'qop=' in said:
            auth += f'qop=auth, nc=00000001, cnonce="c{i}", response="{md5(f"{secret}:{nonce}:00000001:c{i}:auth:{asked}")}"\r\n'
        else:
            auth += f'response="{md5(f"{secret}:{nonce}:{asked}")}"\r\n'
    return False, s.session_reused, s


def worker(first):
    global ok, resumed
    session, kept = None, collections.deque()
    for i in range(first, count, 8):
        start = time.monotonic()
        good, again, s = register(i, session if resume else None)
        with lock:
            ok, resumed = ok + good, resumed + again
            times.append(time.monotonic() - start)
        # Tickets of TLS 1.3 come behind the handshake, so a session is whole only now.
        session = s.session or session
        kept.append(s)
        if len(kept) > KEPT:
            kept.popleft().close()


lock, ok, resumed, times, began = threading.Lock(), 0, 0, [], time.monotonic()
workers = [threading.Thread(target=worker, args=(n,)) for n in range(8)]
for w in workers:
    w.start()
for w in workers:
    w.join()
times.sort()
took = time.monotonic() - began
print(json.dumps(dict(mode='tls', ok=ok, **(dict(resumed=resumed) if resume else {}), bad={} if ok == count else {'not registered': count - ok},
                      per_s=ok / took, p50_us=int(times[len(times) // 2] * 1e6), p99_us=int(times[int(len(times) * .99)] * 1e6))))
