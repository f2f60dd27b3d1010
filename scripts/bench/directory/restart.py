#!/usr/bin/env python3
"""restart.py HOST:PORT NUMBER -- COMMAND...   starts the command, which goes on, and asks for NUMBER (an INVITE every 5 ms) until it is answered
302. One line of JSON: the new process, milliseconds to the first answer and to the first right one, and how many answers said 404 before it."""
import json, socket, subprocess, sys, time

at = sys.argv.index('--')
host, port = sys.argv[1].rsplit(':', 1)
number = sys.argv[2]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((host, int(port)))
s.settimeout(0.005)
here = s.getsockname()[1]
began = time.monotonic()
p = subprocess.Popen(sys.argv[at + 1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
first, right, wrong, n = None, None, 0, 0
while right is None and time.monotonic() - began < 120:
    n += 1
    ask = (f'INVITE sip:{number}@lan.test SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{here};branch=z9hG4bKr{n};rport\r\nMax-Forwards: 70\r\n'
           f'From: <sip:p@lan.test>;tag=p{n}\r\nTo: <sip:{number}@lan.test>\r\nCall-ID: restart{n}-{began}\r\nCSeq: 1 INVITE\r\n'
           f'Contact: <sip:p@127.0.0.1:{here}>\r\nContent-Length: 0\r\n\r\n')
    try:
        s.send(ask.encode())
        code = s.recv(4096).decode()[8:11]
    except OSError:
        time.sleep(0.002)
        continue
    if code.startswith('1'):
        continue
    ms = (time.monotonic() - began) * 1000
    first = first or ms
    if code == '302':
        right = ms
    elif code == '404':
        wrong += 1
print(json.dumps(dict(pid=p.pid, first_answer_ms=first, first_ms=right, false_404=wrong)))
