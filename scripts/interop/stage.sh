# The stage of an interop case; sourced. A case is a script that exits 0 when it holds, calls `skip REASON` when the peer is not here, and
# `fail REASON` when it does not hold. Whatever it starts with `keep` is ended with it.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
name=$(basename "$0")
bin=${TIPRING_BIN:?the program under test}
work=${WORK_ROOT:-$(mktemp -d)}/$name
mkdir -p "$work"
export TIPRING_STATE=$work/state
unset TIPRING_CONFIG
started=()

skip() { echo "$*"; exit 77; }
fail() { echo "$*"; exit 1; }
need() { local tool; for tool in "$@"; do command -v "$tool" >/dev/null || skip "$tool is not installed"; done; }
as_root() { [ "$(id -u)" = 0 ] || skip "$1 needs root"; }
keep() { started+=("$1"); }
ended() {
  local pid
  for pid in "${started[@]+"${started[@]}"}"; do kill "$pid" 2>/dev/null; done
  for pid in "${started[@]+"${started[@]}"}"; do wait "$pid" 2>/dev/null; done
}
trap ended EXIT
need python3 jq

# until SECONDS WHAT COMMAND...: polls; what does not come is the reason of the failure.
until_true() {
  local end=$((SECONDS + $1)) what=$2; shift 2
  until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $end ] || fail "waited in vain for: $what"; sleep 0.25; done
}
# free_ports [COUNT]: the first of 100 (or more) UDP and TCP ports that nobody uses, and that no other case of this run gets.
free_ports() {
  python3 - "${WORK_ROOT:-$work}" "${1:-100}" <<'P'
import os, random, socket, sys
count = (int(sys.argv[2]) + 99) // 100 * 100
for _ in range(200):
    base = random.randrange(10000, 30000, 100); held = []
    try:
        for hundred in range(base, base + count, 100): os.mkdir(f'{sys.argv[1]}/ports-{hundred}')
        for p in range(base, base + count):
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                s = socket.socket(socket.AF_INET, kind); held.append(s); s.bind(('127.0.0.1', p))
        print(base); sys.exit(0)
    except OSError: pass
    finally: [s.close() for s in held]
sys.exit(1)
P
}
# gateway NAME FIRST_DIGIT [TOML...]: starts one with the machines of `machines` at Xnnn; sets sip_NAME (UDP and TCP; TLS is 6 above), media_NAME.
# Media is four ports for each of `legs`. A machine is NAME:KIND[:KEY = VALUE].
machines=(phone1:sim-phone phone2:sim-phone fax1:sim-fax)
legs=16
sip_lines=() # more lines of [sip]
gateway() {
  local gw=$1 digit=$2 base port kind more n=0; shift 2
  base=$(free_ports $((36 + 4 * legs))) || fail "no free ports"
  printf -v "sip_$gw" %s "$base"; printf -v "media_$gw" %s $((base + 32))
  {
    printf '[sip]\nlisten = "127.0.0.1:%s"\ntls_listen = "127.0.0.1:%s"\n' "$base" $((base + 6))
    [ ${#sip_lines[@]} = 0 ] || printf '%s\n' "${sip_lines[@]}"
    printf '[api]\nlisten = "127.0.0.1:%s"\n[media]\nports = [%s, %s]\n' $((base + 1)) $((base + 32)) $((base + 31 + 4 * legs))
    [ $# -gt 0 ] && printf '%s\n' "$@"
    for port in "${machines[@]}"; do
      IFS=: read -r port kind more <<< "$port"
      n=$((n + 1)); printf '[[port]]\nname = "%s"\nkind = "%s"\nnumber = "%s%03d"\n%s\n' "$port" "$kind" "$digit" $n "$more"
    done
  } > "$work/$gw.toml"
  "$bin" gateway --config "$work/$gw.toml" 2> "$work/$gw.log" & keep $!
  until_true 20 "gateway $gw" "$bin" status --config "$work/$gw.toml"
}
tipring() { local gw=$1; shift; "$bin" "$@" --json --config "$work/$gw.toml"; }
sim() { local gw=$1; shift; tipring "$gw" sim "$@" >> "$work/sim.log" 2>&1 || fail "$gw sim $*: $(tail -n 1 "$work/sim.log")"; }
# noted GW PORT WHAT: has the machine noticed it? (tones: their start)
noted() { tipring "$1" sim "$2" notes | jq -e --arg w "$3" 'any(.[]; .what == $w and .detail != "stopped")'; }
noticed() { until_true "${4:-30}" "$3 at $1 $2" noted "$1" "$2" "$3"; }
# does GW PORT WHAT COMMAND...: after the command, the machine notices it once more than before.
times() { tipring "$1" sim "$2" notes | jq --arg w "$3" '[.[] | select(.what == $w and .detail != "stopped")] | length'; }
more_than() { [ "$(times "$2" "$3" "$4")" -gt "$1" ]; }
does() {
  local gw=$1 port=$2 what=$3 before; shift 3
  before=$(times "$gw" "$port" "$what")
  "$@"
  until_true 30 "$what at $gw $port" more_than "$before" "$gw" "$port" "$what"
}
up() { tipring "$1" calls | jq -e 'length > 0 and all(.[]; .state == "up")'; }
idle() { tipring "$1" ports | jq -e 'all(.[]; .state == "idle")' && tipring "$1" calls | jq -e 'length == 0'; }
# record GW N FILTER WHAT: the call's record, when there, must pass the jq filter.
has_record() { [ "$(wc -l < "$TIPRING_STATE/$1/calls.jsonl")" -ge "$2" ]; }
record() {
  until_true 15 "call record $2 of $1" has_record "$1" "$2"
  sed -n "$2p" "$TIPRING_STATE/$1/calls.jsonl" | jq -e "$3" > /dev/null || fail "$4: $(sed -n "$2p" "$TIPRING_STATE/$1/calls.jsonl")"
}
# record_with GW SELECT FILTER WHAT: the last record that passes SELECT must pass FILTER.
record_with() {
  local file=$TIPRING_STATE/$1/calls.jsonl line
  there() { [ -n "$(jq -c "select($1)" "$2" 2>/dev/null | tail -n 1)" ]; }
  until_true 15 "a call record with $2" there "$2" "$file"
  line=$(jq -c "select($2)" "$file" | tail -n 1)
  jq -e "$3" > /dev/null <<< "$line" || fail "$4: $line"
}
# at_once NAME COMMAND...: a part of the case that runs beside others; all_held waits for them, and tells the first that failed.
parts=()
at_once() { local part=$1; shift; (trap - EXIT; "$@") > "$work/part-$part" 2> "$work/part-$part.err" & parts+=("$part:$!"); }
all_held() {
  local part wrong=
  for part in "${parts[@]}"; do wait "${part#*:}" || wrong=${wrong:-${part%%:*}: $(tail -n 1 "$work/part-${part%%:*}" "$work/part-${part%%:*}.err" 2>/dev/null | grep -v '^==>' | grep . | head -n 1)}; done
  parts=()
  [ -z "$wrong" ] || fail "$wrong"
}
# dial GW PORT NUMBER
dial() { does "$1" "$2" dial-tone sim "$1" "$2" off-hook; sim "$1" "$2" dial "$3"; }
# like SAID HEARD WHAT [LEAST]: at least 0.9 alike, or LEAST.
like() {
  local r; r=$(python3 "$here/audio.py" likeness "$1" "$2") || fail "$3: $r"
  echo "$3: correlation $r" >> "$work/figures"
  python3 -c "import sys; sys.exit(float('$r') < ${4:-0.9})" || fail "$3: correlation $r"
}

# certificate FOLDER [NAME]: cert.pem with key.pem in it, for 127.0.0.1 and NAME
certificate() {
  need openssl
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj "/CN=${2:-localhost}" -addext "subjectAltName=IP:127.0.0.1,DNS:${2:-localhost},URI:sip:${2:-localhost}" \
    -keyout "$1/key.pem" -out "$1/ca.pem" 2>> "$work/openssl.log" || fail "openssl makes no certificate"
  cat "$1/key.pem" "$1/ca.pem" > "$1/cert.pem"
}

# --- SIPp

# sipp_run SCENARIO PORT [ARGS...]: in the foreground; audio.pcap lies in the work folder.
sipp_run() {
  local scenario=$1 port=$2; shift 2
  (cd "$work" && sipp -sf "$here/sipp/$scenario.xml" -i 127.0.0.1 -mi 127.0.0.1 -p "$port" -mp $((port + 20)) -m 1 -t u1 -timeout 40 -timeout_error -nostdin \
    -trace_err -error_file sipp-err.log -trace_msg -message_file sipp-msg.log "$@" > sipp-out.log 2>&1 < /dev/null)
}
sipp_fault() { tail -n 2 "$work/sipp-err.log" 2>/dev/null | tr '\n' ' ' | cut -c1-300; }

# --- baresip

# baresip_up USER SIP_PORT SOURCE.wav [ACCOUNT]: a phone that answers by itself, says SOURCE over and over, and writes down what it sent and heard.
# It takes UDP and TCP on SIP_PORT, TLS one above. ACCOUNT: its address and what follows it, where it is not "<sip:USER@itself>;regint=0".
baresip_lines=() # more lines of its configuration
baresip_up() {
  local user=$1 port=$2 source=$3 dir=$work/baresip modules account=${4:-"<sip:$1@127.0.0.1:$2>;regint=0"}
  modules=$(dirname "$(find /usr/lib /usr/local/lib -path '*baresip/modules/g711.so' 2>/dev/null | head -1)")
  [ -f "$modules/g711.so" ] || skip "baresip has no g711 module here"
  mkdir -p "$dir"
  python3 "$here/audio.py" repeat "$source" 20 "$dir/source.wav"
  cat > "$dir/config" <<C
poll_method epoll
sip_listen 127.0.0.1:$port
sip_certificate $dir/cert.pem
audio_player aufile,$dir/player.wav
audio_source aufile,$dir/source.wav
audio_alert aufile,$dir/alert.wav
audio_txmode thread
ausrc_srate 8000
auplay_srate 8000
ausrc_channels 1
auplay_channels 1
rtp_ports $((port + 20))-$((port + 39))
rtcp_mux no
jitter_buffer_type fixed
jitter_buffer_delay 2-20
module_path $modules
module g711.so
module aufile.so
module sndfile.so
snd_path $dir
module_tmp uuid.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:$((port + 10))
net_interface 127.0.0.1
call_max_calls 4
C
  [ ${#baresip_lines[@]} = 0 ] || printf '%s\n' "${baresip_lines[@]}" >> "$dir/config"
  echo "$account;answermode=auto;audio_codecs=PCMU;ptime=20;dtmfmode=rtpevent" > "$dir/accounts"
  [ -f "$dir/cert.pem" ] || certificate "$dir"
  : > "$dir/contacts"
  (cd "$dir" && exec baresip -f "$dir" -v > "$dir/log" 2>&1 < /dev/null) & keep $!
  baresip_control=$((port + 10))
  until_true 10 "baresip" grep -q 'baresip is ready' "$dir/log"
}
baresip_do() {
  python3 - "$baresip_control" "$@" <<'P'
import json, socket, sys
s = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 3)
m = json.dumps({'command': sys.argv[2], 'params': ' '.join(sys.argv[3:]), 'token': 'tipring'})
s.sendall(f'{len(m)}:{m},'.encode()); s.settimeout(1)
try: print(s.recv(65536).decode(errors='replace'))
except socket.timeout: pass
P
}
# What baresip heard (dec) or sent (enc) in its last call.
baresip_wav() { ls -t "$work"/baresip/dump-*-"$1".wav 2>/dev/null | head -1; }

# --- tshark as a second reader

# capture BASE BASE: the 100 ports of each of two gateways, and nobody else's
capture() {
  need tshark; as_root "capturing"
  tshark -q -i lo -f "portrange $1-$(($1 + 99)) or portrange $2-$(($2 + 99))" -w "$work/capture.pcapng" > "$work/tshark.log" 2>&1 & capture=$!; keep $capture
  until_true 10 "the capture" grep -q Capturing "$work/tshark.log"
}
# The capture lags behind the wire.
capture_ended() { sleep 1; kill -INT $capture 2>/dev/null; wait $capture 2>/dev/null; }
read_as=()
# EtherCAT has a UDP port of its own (34980), which the system hands out as any other: what goes there is not it.
alone=(--disable-protocol ecatf)
# packets FILTER: how many
packets() { tshark -r "$work/capture.pcapng" "${alone[@]}" "${read_as[@]+"${read_as[@]}"}" -Y "$1" -T fields -e frame.number 2>/dev/null | wc -l; }
# nothing_malformed [FILTER]: of the packets that pass the filter
nothing_malformed() {
  local bad words of=${1:-frame}
  bad=$(packets "_ws.malformed && $of"); words=$(tshark -r "$work/capture.pcapng" "${alone[@]}" "${read_as[@]+"${read_as[@]}"}" -Y "_ws.expert.severity == 8388608 && $of" -T fields -e frame.number -e _ws.expert.message 2>/dev/null | head -3 | tr '\t\n' ' ;')
  [ "$bad" = 0 ] && [ -z "$words" ] || fail "tshark: $bad malformed packets; $words"
}

# --- fax pages

# pels PAGE.tif OUT.tif: uncompressed in one strip, for page.py
pels() { tiffcp -c none -r 100000 "$1" "$2" 2>> "$work/tiffcp.log" || fail "tiffcp cannot read $1"; }
# same_pages SENT.tif RECEIVED.tif WHAT
same_pages() {
  local a b; a=$(mktemp "$work/pels.XXXXXX"); b=$(mktemp "$work/pels.XXXXXX")
  pels "$1" "$a"; pels "$2" "$b"
  a=$(python3 "$here/page.py" same "$a" "$b" 2>&1) || fail "$3: $a"
}
# watch_wire OTHER_BASE: from now on, for wire_was_clean, if tshark is here and may capture.
watch_wire() { watched=; if [ "$(id -u)" = 0 ] && command -v tshark > /dev/null; then capture "$sip_a" "$1"; watched=1; fi; }
# Everything that gateway a sent, in the eyes of Wireshark's dissectors: nothing malformed, no expert error, and at least something of each PROTOCOL.
wire_was_clean() {
  local leg protocol
  # Its SIP, SIP over TLS and media: in the same hundred a case may have given ports to others.
  local ours="(udp.srcport == $sip_a || tcp.srcport == $sip_a || tcp.srcport == $((sip_a + 6)) || (udp.srcport >= $((sip_a + 32)) && udp.srcport <= $((sip_a + 95))))"
  [ -n "$watched" ] || { echo "the wire was not watched: tshark, and root to capture with, are needed" >&2; return 0; }
  capture_ended
  read_as=(-o rtp.heuristic_rtp:TRUE -d "udp.port==$sip_a,sip" -d "tcp.port==$sip_a,sip")
  for leg in $(seq $((sip_a + 32)) 4 $((sip_a + 95))); do read_as+=(-d "udp.port==$((leg + 2)),t38"); done
  nothing_malformed "$ours"
  for protocol; do [ "$(packets "$protocol && $ours")" -gt 0 ] || fail "tshark finds no $protocol of ours"; done
}
