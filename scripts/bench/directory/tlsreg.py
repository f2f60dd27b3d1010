#!/usr/bin/env python3
"""tlsreg.py HOST:PORT N [--resumed]   N terminals one after the other: a TLS connection, REGISTER, 401, REGISTER, 200. With --resumed each goes on
with the session of one before it. One line of JSON; "resumed" says how many handshakes really were."""
import hashlib, json, re, socket, ssl, sys, time

host, port = sys.argv[1].rsplit(':', 1)
count, resume = int(sys.argv[2]), '--resumed' in sys.argv
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


ok = resumed = 0
times, session, kept, began = [], None, [], time.monotonic()
for i in range(count):
    start = time.monotonic()
    s = context.wrap_socket(socket.create_connection((host, int(port))), session=session if resume else None)
    resumed += s.session_reused
    here, user, auth = s.getsockname()[1], '%07d' % i, ''
    for cseq in (1, 2):
        s.sendall(f'REGISTER sip:lan.test SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:{here};branch=z9hG4bKtls{i}.{cseq};rport\r\nMax-Forwards: 70\r\n'
                  f'From: <sip:{user}@lan.test>;tag=t{i}\r\nTo: <sip:{user}@lan.test>\r\nCall-ID: tls{i}-{began}\r\nCSeq: {cseq} REGISTER\r\n'
                  f'Contact: <sip:{user}@127.0.0.1:{here};transport=tls>\r\nExpires: 3600\r\n{auth}Content-Length: 0\r\n\r\n'.encode())
        said = answer(s)
        if said.startswith('SIP/2.0 200'):
            ok += 1
            break
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
    # Tickets of TLS 1.3 come behind the handshake, so a session is whole only now.
    if resume and s.session is not None and s.session.has_ticket or session is None:
        session = s.session
    kept.append(s)
    times.append(time.monotonic() - start)
    # As many as one source may have are not left open.
    if len(kept) > 100:
        kept.pop(0).close()
times.sort()
took = time.monotonic() - began
print(json.dumps(dict(mode='tls', ok=ok, **(dict(resumed=resumed) if resume else {}), bad={} if ok == count else {'not registered': count - ok}, per_s=ok / took,
                      p50_us=int(times[len(times) // 2] * 1e6), p99_us=int(times[int(len(times) * .99)] * 1e6))))
