#!/usr/bin/env python3
"""Fax pages for the interop cases; the standard library alone.
  page.py make OUT.tif PAGES ROWS SEED     bilevel, 1728 wide, fine: strokes like writing, different for each seed; uncompressed
  page.py same A.tif B.tif                 page by page, pel by pel; both uncompressed in one strip (tiffcp -c none -r 100000)"""
import random, struct, sys

def make(path, pages, rows, seed):
    dice = random.Random(seed); width = 216; out = bytearray(b'II*\0\0\0\0\0'); link = 4
    for _ in range(pages):
        bits = bytearray()
        line = bytes(width)
        for y in range(rows):
            # A line of writing is 24 rows high and 10 apart; its strokes change every third row.
            if y % 34 >= 24: line = bytes(width)
            elif y % 3 == 0: line = bytes(dice.choice((0, 0, 0, 0x18, 0x3c, 0x60, 0x06, 0xff)) if 12 < x < 204 else 0 for x in range(width))
            bits += line
        at = len(out); out += bits
        if len(out) % 2: out += b'\0'
        ratio = len(out); out += struct.pack('<IIII', 204, 1, 196, 1)
        fields = [(254, 4, 2), (256, 4, 1728), (257, 4, rows), (258, 3, 1), (259, 3, 1), (262, 3, 0), (266, 3, 1), (273, 4, at), (277, 3, 1), (278, 4, rows),
                  (279, 4, len(bits)), (282, 5, ratio), (283, 5, ratio + 8), (296, 3, 2)]
        struct.pack_into('<I', out, link, len(out))
        out += struct.pack('<H', len(fields)) + b''.join(struct.pack('<HHII', tag, kind, 1, value) for tag, kind, value in fields)
        link = len(out); out += struct.pack('<I', 0)
    open(path, 'wb').write(out)

def pages(path):
    data = open(path, 'rb').read(); order = '<' if data[:2] == b'II' else '>'; at = struct.unpack(order + 'I', data[4:8])[0]; found = []
    while at:
        n = struct.unpack(order + 'H', data[at:at + 2])[0]; tags = {}
        for k in range(n):
            p = at + 2 + 12 * k; tag, kind, count = struct.unpack(order + 'HHI', data[p:p + 8]); size = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8}.get(kind, 4) * count
            q = p + 8 if size <= 4 else struct.unpack(order + 'I', data[p + 8:p + 12])[0]
            if kind in (3, 4): tags[tag] = struct.unpack(order + {3: 'H', 4: 'I'}[kind] * count, data[q:q + size])
        at = struct.unpack(order + 'I', data[at + 2 + 12 * n:at + 6 + 12 * n])[0]
        if tags.get(259, (1,))[0] != 1: sys.exit(f'{path} is compressed')
        bits = b''.join(data[o:o + c] for o, c in zip(tags[273], tags[279]))
        if tags.get(262, (0,))[0] == 1: bits = bytes(255 - b for b in bits)
        if tags.get(266, (1,))[0] == 2: bits = bytes(int(f'{b:08b}'[::-1], 2) for b in bits)
        found.append((tags[256][0], tags[257][0], bits))
    return found

def same(a, b):
    a, b = pages(a), pages(b)
    if len(a) != len(b): sys.exit(f'{len(a)} pages are not {len(b)}')
    for n, (x, y) in enumerate(zip(a, b), 1):
        if x[:2] != y[:2]: sys.exit(f'page {n}: {x[0]} x {x[1]} is not {y[0]} x {y[1]}')
        row = (x[0] + 7) // 8; wrong = sum(x[2][i:i + row] != y[2][i:i + row] for i in range(0, len(x[2]), row))
        if wrong: sys.exit(f'page {n}: {wrong} of {x[1]} rows differ')
    print(f'{len(a)} pages, every pel the same')

verb, args = sys.argv[1], sys.argv[2:]
if verb == 'make': make(args[0], *map(int, args[1:]))
elif verb == 'same': same(*args)
else: sys.exit(__doc__)
