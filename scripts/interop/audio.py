#!/usr/bin/env python3
"""Audio for the interop cases: 8 kHz, mono, 16 bit, the standard library alone.
  audio.py speech OUT.wav SECONDS SEED     something like speech: syllables of a wandering pitch with pauses
  audio.py repeat IN.wav N OUT.wav
  audio.py pcap IN.wav OUT.pcap            RTP (PCMU, 20 ms) in Ethernet frames, as SIPp plays it
  audio.py likeness SAID.wav HEARD.wav     0 to 1: each half second of SAID where it fits best near its place in HEARD, by power
  audio.py keys IN.wav                     the DTMF keys on it (Goertzel, 40 ms steps)
  audio.py tone IN.wav HZ                  the longest stretch on which nothing but this frequency is heard, s
  audio.py payloads OUT.wav                PCMU payloads in hex, a line each, from stdin
  audio.py loudness IN.wav                 root of the mean square, of 32768"""
import array, math, random, struct, sys, wave
from operator import mul

def read(path):
    # baresip's recordings are cut off when it ends: the header's length may be 0.
    data = open(path, 'rb').read(); at = data.find(b'data'); kind, channels, rate = struct.unpack_from('<HHI', data, 20)
    body = data[at + 8:]; body = body[:len(body) // 2 * 2]
    if (kind, channels, rate) != (1, 1, 8000): sys.exit(f'{path}: format {kind}, {channels} channels, {rate} Hz')
    return array.array('h', body)

def write(path, samples):
    with wave.open(path, 'wb') as w:
        w.setnchannels(1); w.setsampwidth(2); w.setframerate(8000); w.writeframes(array.array('h', samples).tobytes())

def speech(seconds, seed):
    dice = random.Random(seed); out = []; phase = 0.0
    while len(out) < seconds * 8000:
        n = dice.randrange(800, 2400); pitch = dice.uniform(90, 220); glide = dice.uniform(0.8, 1.2)
        formants = [f * dice.uniform(0.6, 1.4) for f in (500, 1500, 2500)]
        for i in range(n):
            x = i / n; hz = pitch * (1 + (glide - 1) * x); phase += hz / 8000
            voice = sum(math.sin(math.tau * k * phase) * sum(math.exp(-((k * hz - f) / 250) ** 2) for f in formants) for k in range(1, int(3300 / hz)))
            out.append(int(max(-20000, min(20000, voice * 2500 * math.sin(math.pi * x)))))
        out += [0] * dice.randrange(200, 1100)
    return out[:seconds * 8000]

def mulaw(x):
    sign = 0x80 if x < 0 else 0; x = min(abs(x), 32635) + 0x84; e = max(x.bit_length() - 8, 0)
    return ~(sign | e << 4 | (x >> (e + 3) & 15)) & 255

def pcap(samples, path):
    with open(path, 'wb') as f:
        f.write(struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for n in range(len(samples) // 160):
            rtp = struct.pack('!BBHII', 0x80, 0x80 if n == 0 else 0, n, n * 160, 0x7e57) + bytes(map(mulaw, samples[n * 160:n * 160 + 160]))
            udp = struct.pack('!HHHH', 6000, 6002, 8 + len(rtp), 0) + rtp
            ip = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(udp), n, 0, 64, 17, 0, b'\x7f\0\0\1', b'\x7f\0\0\1') + udp
            frame = b'\0' * 12 + b'\x08\0' + ip
            f.write(struct.pack('<IIII', 1 + n // 50, n % 50 * 20000, len(frame), len(frame)) + frame)

def correlation(a, b):
    power = math.sqrt(sum(map(mul, a, a)) * sum(map(mul, b, b)))
    return sum(map(mul, a, b)) / power if power else 0.0

def envelope(x):
    return [sum(map(abs, x[i:i + 80])) for i in range(0, len(x) - 79, 80)]

def likeness(said, heard):
    """Coarse by the envelopes of the whole, fine by half seconds within 60 ms of that."""
    a, b = envelope(said), envelope(heard)
    mean = sum(a) / len(a); a = [v - mean for v in a]
    def fit(lag):
        piece = b[lag:lag + len(a)]
        m = sum(piece) / len(piece); return correlation(a[:len(piece)], [v - m for v in piece])
    # All of it must lie within what was heard: a peer that says it over and over is cut at both ends.
    lags = range(0, max(1, len(b) - len(a) + 3))
    best = sorted(lags, key=fit, reverse=True)[:3]
    def fine(at):
        total = weight = 0.0
        for i in range(0, len(said) - 3999, 4000):
            piece = said[i:i + 4000]; power = float(sum(map(mul, piece, piece))); near = range(max(0, at + i - 480), min(len(heard) - 4000, at + i + 480) + 1)
            # Every lag on its loudest tenth of a second first, then the best ones on all of it.
            loud = max(range(0, 3201, 400), key=lambda o: sum(map(abs, piece[o:o + 800])))
            rough = sorted(near, key=lambda l: correlation(piece[loud:loud + 800], heard[l + loud:l + loud + 800]))[-3:]
            total += power * max((correlation(piece, heard[l:l + 4000]) for l in rough), default=0.0); weight += power
        return total / weight if weight else 0.0
    found = 0.0
    for lag in best:
        if found < 0.9: found = max(found, fine(lag * 80))
    return found

def keys(x):
    rows, columns = (697, 770, 852, 941), (1209, 1336, 1477, 1633)
    def power(block, hz):
        c = 2 * math.cos(math.tau * hz / 8000); s1 = s2 = 0.0
        for v in block: s1, s2 = v + c * s1 - s2, s1
        return s1 * s1 + s2 * s2 - c * s1 * s2
    out, last = '', None
    for i in range(0, len(x) - 319, 320):
        block = x[i:i + 320]; energy = sum(map(mul, block, block)) * 160
        r = max(rows, key=lambda hz: power(block, hz)); c = max(columns, key=lambda hz: power(block, hz))
        pure = energy > 320 * 160 * 200 ** 2 and power(block, r) + power(block, c) > 0.7 * energy and min(power(block, r), power(block, c)) > 0.1 * energy
        key = '123A456B789C*0#D'[rows.index(r) * 4 + columns.index(c)] if pure else None
        if key and key != last: out += key
        last = key
    return out

def tone(x, hz):
    best = run = 0
    for i in range(0, len(x) - 319, 320):
        block = x[i:i + 320]; energy = sum(map(mul, block, block)) * 160; c = 2 * math.cos(math.tau * hz / 8000); s1 = s2 = 0.0
        for v in block: s1, s2 = v + c * s1 - s2, s1
        run = run + 1 if energy > 320 * 160 * 500 ** 2 and s1 * s1 + s2 * s2 - c * s1 * s2 > 0.9 * energy else 0
        best = max(best, run)
    return best * 0.04

verb, args = sys.argv[1], sys.argv[2:]
if verb == 'speech': write(args[0], speech(int(args[1]), int(args[2])))
elif verb == 'repeat': write(args[2], read(args[0]) * int(args[1]))
elif verb == 'pcap': pcap(read(args[0]), args[1])
elif verb == 'likeness': print(f'{likeness(read(args[0]), read(args[1])):.4f}')
elif verb == 'keys': print(keys(read(args[0])))
elif verb == 'payloads':
    table = [0] * 256
    for u in range(256):
        v = ~u & 255; magnitude = ((v & 15) * 8 + 132 << (v >> 4 & 7)) - 132; table[u] = -magnitude if v & 128 else magnitude
    write(args[0], [table[b] for line in sys.stdin for b in bytes.fromhex(line.strip().replace(':', ''))])
elif verb == 'loudness': x = read(args[0]); print(int(math.sqrt(sum(map(mul, x, x)) / max(1, len(x)))))
elif verb == 'tone': print(f'{tone(read(args[0]), float(args[1])):.2f}')
else: sys.exit(__doc__)
