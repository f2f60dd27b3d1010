# Kamailio as a registrar and proxy; sourced by a case after stage.sh. Domain and realm office.test; the password of USER is pwUSER.

# kamailio_up [tls]: sets kam, its SIP port for UDP and TCP; TLS is one above.
kamailio_up() {
  need kamailio
  local more=()
  kam=$(free_ports) || fail "no free ports"
  mkdir -p "$work/kamailio"
  if [ "${1:-}" = tls ]; then
    need openssl
    [ -n "$(find / -xdev -path '*/kamailio/modules/tls.so' 2>/dev/null | head -n 1)" ] || skip "Kamailio has no TLS module here"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=office.test \
      -addext subjectAltName=IP:127.0.0.1,DNS:office.test,URI:sip:office.test -keyout "$work/kamailio/key.pem" -out "$work/kamailio/cert.pem" 2>> "$work/openssl.log" || fail "openssl makes no certificate"
    more=(-A WITH_TLS -A "TLSPORT=$((kam + 1))" -A "TLSCERT=\"$work/kamailio/cert.pem\"" -A "TLSKEY=\"$work/kamailio/key.pem\"")
  fi
  # In the foreground (-DD), so that it is ended with the case; its children go with it.
  kamailio -DD -f "$here/peers/kamailio.cfg" -A "PORT=$kam" "${more[@]+"${more[@]}"}" -m 64 -M 8 -Y "$work/kamailio" -w "$work/kamailio" \
    > "$work/kamailio/log" 2>&1 < /dev/null & keep $!
  until_true 20 "Kamailio" kamailio_answers
}
kamailio_answers() {
  python3 - "$kam" <<'P'
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', 0)); me = '127.0.0.1:%d' % s.getsockname()[1]; s.settimeout(0.5)
s.sendto(f'OPTIONS sip:office.test SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bKping{me};rport\r\nMax-Forwards: 70\r\nFrom: <sip:p@office.test>;tag=p\r\nTo: <sip:office.test>\r\nCall-ID: ping-{me}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n'.encode(), ('127.0.0.1', int(sys.argv[1])))
sys.exit(0 if s.recv(9000).startswith(b'SIP/2.0 200') else 1)
P
}
