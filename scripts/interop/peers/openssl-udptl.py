"""A caller who sends T.38 in UDPTL over DTLS (RFC 7345), with OpenSSL's s_client or s_server for the DTLS: python3 openssl-udptl.py GATEWAY NUMBER
PORT active|passive CERT KEY [OTHER_CERT OTHER_KEY]. Offers `m=image PORT UDP/TLS/UDPTL t38` with the fingerprint of CERT, shows CERT (or
OTHER_CERT, which is not the one it promised), says CNG three times, and prints what of UDPTL came and whether the gateway showed the
certificate that its answer named."""
import base64, hashlib, re, socket, subprocess, sys, time

gateway, number, port, setup, cert, key = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5], sys.argv[6]
shown_cert, shown_key = (sys.argv[7], sys.argv[8]) if len(sys.argv) > 8 else (cert, key)
call, tag, host = f'{time.time_ns()}', f'{port}{setup}', '127.0.0.1'


def fingerprint(pem):
    body = re.search(r'-----BEGIN CERTIFICATE-----(.*?)-----END', pem, re.S).group(1)
    return ':'.join(f'{b:02X}' for b in hashlib.sha256(base64.b64decode(body)).digest())


sip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sip.bind((host, 0))
sip.settimeout(20)
me = f'{host}:{sip.getsockname()[1]}'
sdp = '\r\n'.join([
    'v=0', f'o=openssl 1 1 IN IP4 {host}', 's=-', f'c=IN IP4 {host}', 't=0 0', f'm=image {port} UDP/TLS/UDPTL t38', f'a=setup:{setup}',
    f'a=fingerprint:sha-256 {fingerprint(open(cert).read())}', 'a=T38FaxVersion:0', 'a=T38MaxBitRate:14400',
    'a=T38FaxRateManagement:transferredTCF', 'a=T38FaxMaxBuffer:1800', 'a=T38FaxMaxDatagram:400', 'a=T38FaxUdpEC:t38UDPRedundancy', ''])


def request(method, cseq, to, body='', uri=f'sip:{number}@{host}:{gateway}'):
    kind = 'Content-Type: application/sdp\r\n' if body else ''
    contact = f'Contact: <sip:openssl@{me}>\r\n' if method == 'INVITE' else ''
    sip.sendto(f'{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bK{call}{cseq}{method};rport\r\nMax-Forwards: 70\r\n'
               f'From: <sip:openssl@{me}>;tag={tag}\r\nTo: {to}\r\nCall-ID: {call}\r\nCSeq: {cseq} {method}\r\n{contact}{kind}'
               f'Content-Length: {len(body)}\r\n\r\n{body}'.encode(), (host, gateway))


to = f'<sip:{number}@{host}:{gateway}>'
dtls = None


def start(arguments):
    global dtls
    dtls = subprocess.Popen(['openssl', *arguments, '-dtls1_2', '-cert', shown_cert, '-key', shown_key], stdin=subprocess.PIPE,
                            stdout=open(f'dtls-{port}.out', 'wb'), stderr=open(f'dtls-{port}.err', 'wb'))


# Listening before the offer is out: the gateway begins while it rings.
if setup == 'passive':
    start(['s_server', '-accept', f'{host}:{port}', '-verify', '1'])
    time.sleep(1)
request('INVITE', 1, to, sdp)
while True:
    answer = sip.recv(9000).decode()
    status = int(answer.split()[1]) if answer.startswith('SIP/2.0') else 0
    if status >= 200: break
to = re.search(r'^To: *(.*?)\r$', answer, re.M | re.I).group(1)
if status != 200: request('ACK', 1, to); sys.exit(f'answered with {answer.splitlines()[0]}')
uri = re.search(r'^Contact: *<(.*?)>', answer, re.M | re.I).group(1)
request('ACK', 1, to, uri=uri)
line = re.search(r'^m=image (\d+) UDP/TLS/UDPTL t38', answer, re.M)
theirs = re.search(r'^a=fingerprint:sha-256 (\S+)', answer, re.M | re.I)
role = re.search(r'^a=setup:(\S+)', answer, re.M)
if not (line and theirs and role): sys.exit(f'no UDPTL over DTLS in the answer: {answer}')
if role.group(1) != {'active': 'passive', 'passive': 'active'}[setup]: sys.exit(f'setup:{role.group(1)} for our {setup}')
if setup == 'active': start(['s_client', '-connect', f'{host}:{line.group(1)}', '-bind', f'{host}:{port}', '-nocommands'])
time.sleep(3)
for sequence in range(3):
    try: dtls.stdin.write(bytes([0, sequence, 1, 0x02, 0, 0])); dtls.stdin.flush()
    except OSError: break
    time.sleep(1)
time.sleep(2)
request('BYE', 2, to, uri=uri)
try: sip.recv(9000)
except TimeoutError: pass
dtls.terminate(); dtls.wait()
out = open(f'dtls-{port}.out', 'rb').read()
pem = re.search(rb'-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----', out, re.S)
same = bool(pem) and fingerprint(pem.group(0).decode()) == theirs.group(1).upper()
# The octet that begins every frame of DIS, as HDLC data by V.21, stands for what the fax machine says.
heard = b'\xc0\x01\x80\x00\x00\xff' in out
print(f'certificate {"as named" if same else "other"}; DIS {"heard" if heard else "not heard"}')
