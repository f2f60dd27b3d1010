#!/usr/bin/env python3
"""measure.py run RESULTS PID[,PID] ROW WHO -- COMMAND...   runs a load that prints one line of JSON ("ok", "per_s", "p50_us", "p99_us", "bad",
                                                           "timeouts") and writes down beside it the server's CPU an operation: user and
                                                           system of the whole process tree of each PID.
measure.py note RESULTS ROW WHO TEXT [KEY=NUMBER...]       writes down what another command found, or why nothing was measured.
measure.py memory PID                                      proportional set size of the process tree, in bytes.
measure.py table RESULTS                                   all of it, our rows beside the peers', with the bars; exit 1 if one is missed.
"""
import json, os, subprocess, sys

HZ = os.sysconf('SC_CLK_TCK')

# Row: CPU us an operation, then other bars by key: at most, or with '>' at least.
BARS = {
    'register': (30, {'per_s': ('>', 10_000), 'p99_us': ('<', 15_000)}),
    'refresh': (17, {}),
    'look-up 302': (10, {}),
    'look-up 404': (9, {}),
    'OPTIONS': (5, {}),
    'ENUM': (4, {}),
    'other server': (40, {}),
    'memory a registration': (None, {'bytes': ('<', 400)}),
    'look-up at 1 M': (None, {'ratio': ('<', 1.3)}),
    'restart after kill -9': (None, {'first_ms': ('<', 300), 'false_404': ('<', 0), 'lost': ('<', 0)}),
    'overload, window 4000': (None, {'abandoned_percent': ('<', 0), 'p99_us': ('<', 600_000)}),
    'TLS full': (900, {}),
    'TLS resumed': (300, {}),
}


def tree(roots):
    children = {}
    for d in os.listdir('/proc'):
        if d.isdigit():
            try:
                fields = open(f'/proc/{d}/stat').read().rsplit(')', 1)[1].split()
                children.setdefault(int(fields[1]), []).append(int(d))
            except OSError:
                pass
    todo, all_ = list(roots), []
    while todo:
        p = todo.pop()
        all_.append(p)
        todo += children.get(p, [])
    return all_


def cpu_ns(roots):
    """By the scheduler's own clock where threads are still there, and by ticks of what has ended."""
    total = 0
    for p in tree(roots):
        try:
            for task in os.listdir(f'/proc/{p}/task'):
                total += int(open(f'/proc/{p}/task/{task}/schedstat').read().split()[0])
            fields = open(f'/proc/{p}/stat').read().rsplit(')', 1)[1].split()
            total += (int(fields[13]) + int(fields[14])) * 1_000_000_000 // HZ
        except OSError:
            pass
    return total


def memory(roots):
    total = 0
    for p in tree(roots):
        try:
            total += sum(int(l.split()[1]) for l in open(f'/proc/{p}/smaps_rollup') if l.startswith('Pss:'))
        except OSError:
            pass
    return total * 1024


def write(results, entry):
    with open(results, 'a') as f:
        f.write(json.dumps(entry) + '\n')
    print('  ' + line(entry), flush=True)


def line(e):
    figures = []
    if 'cpu_us' in e:
        figures.append(f"{e['cpu_us']:.1f} us CPU")
    if 'per_s' in e:
        figures.append(f"{e['per_s']:,.0f}/s")
    if e.get('p99_us'):
        figures.append(f"p50 {e['p50_us'] / 1000:.1f} p99 {e['p99_us'] / 1000:.1f} ms")
    if e.get('bad'):
        figures.append(f"answered otherwise {e['bad']}")
    if e.get('timeouts'):
        figures.append(f"abandoned {e['timeouts']}")
    if e.get('text'):
        figures.append(e['text'])
    return f"{e['row']:24} {e['who']:16} {', '.join(figures)}"


def run(results, pids, row, who, command):
    try:
        pids = [int(p) for p in pids.split(',')]
        assert all(os.path.exists(f'/proc/{p}') for p in pids)
    except (ValueError, AssertionError):
        return write(results, dict(row=row, who=who, text='not measured: the server is not up'))
    before = cpu_ns(pids)
    out = subprocess.run(command, capture_output=True, text=True)
    used = cpu_ns(pids) - before
    try:
        said = json.loads(out.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        why = (out.stderr or out.stdout).strip().splitlines()
        return write(results, dict(row=row, who=who, text=f"not measured: {why[-1][:100] if why else 'the load said nothing'}"))
    entry = dict(row=row, who=who, cpu_us=used / 1000 / max(1, said['ok']))
    entry.update({k: said[k] for k in ('ok', 'per_s', 'p50_us', 'p99_us', 'bad', 'timeouts') if k in said})
    if 'resumed' in said:
        entry['text'] = f"{said['resumed']} handshakes were resumed"
    if 'timeouts' in said:
        done = said['ok'] + sum(said.get('bad', {}).values()) + said['timeouts']
        entry['abandoned_percent'] = 100 * said['timeouts'] / max(1, done)
    write(results, entry)


def table(results):
    entries = [json.loads(l) for l in open(results)]
    rows = list(dict.fromkeys([r for r in BARS] + [e['row'] for e in entries]))
    missed = 0
    print(f"\n{'row':24} {'who':16} {'CPU us':>8} {'ops/s':>9} {'p50 ms':>8} {'p99 ms':>8}  verdict")
    for row in rows:
        for e in [e for e in entries if e['row'] == row]:
            verdicts = []
            if e['who'] == 'ours' and row in BARS:
                most, others = BARS[row]
                checks = [('cpu_us', '<', most)] if most is not None else []
                checks += [(key, how, bar) for key, (how, bar) in others.items()]
                for key, how, bar in checks:
                    if key not in e:
                        continue
                    holds = e[key] <= bar if how == '<' else e[key] >= bar
                    missed += not holds
                    verdicts.append(f"{'ok' if holds else 'MISS'} ({key} {'<=' if how == '<' else '>='} {bar:g})")
            f = lambda key, scale=1.0, digits=1: f'{e[key] / scale:,.{digits}f}' if e.get(key) else ''
            extra = [e['text']] if e.get('text') else []
            extra += [f"answered otherwise {e['bad']}"] if e.get('bad') else []
            extra += [f"abandoned {e['abandoned_percent']:.2f} %"] if e.get('timeouts') else []
            print(f"{row:24} {e['who']:16} {f('cpu_us'):>8} {f('per_s', 1, 0):>9} {f('p50_us', 1000, 2):>8} {f('p99_us', 1000, 2):>8}  {'; '.join(verdicts + extra)}")
    return missed


def main():
    verb, args = sys.argv[1], sys.argv[2:]
    if verb == 'run':
        at = args.index('--')
        results, pids, row, who = args[:at]
        run(results, pids, row, who, args[at + 1:])
    elif verb == 'note':
        results, row, who, text, *more = args
        write(results, dict(row=row, who=who, text=text, **{k: float(v) for k, v in (m.split('=') for m in more)}))
    elif verb == 'memory':
        print(memory([int(args[0])]))
    elif verb == 'table':
        sys.exit(1 if table(args[0]) else 0)


if __name__ == '__main__':
    main()
