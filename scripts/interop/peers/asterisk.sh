# Asterisk 22 as a peer; sourced by a case after stage.sh. It lives in a folder with a Debian of its own (asterisk/install makes that once),
# has only loopback addresses, and all that it writes lies in the case's work folder, which it sees as /peer.
# Numbers to dial: 100 echo (u-law), 114 echo (A-law), 110 tone of 1004 Hz, 112 speech, 180 rings, 183 early media, 404 480 486 503 603
# refuse, 101/102/103 take keys as RFC 4733, in band, by INFO (and send them back), 104/105 send keys as RFC 4733, in band, 200 to 207
# receive faxes (T.38 with redundancy, FEC, neither; G.711; T.38 or else audio; no ECM; V.29; V.27 ter), 210 to 213, 215, 216 send (same order).
asterisk_conf=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/asterisk

# asterisk_place: sets ast (its SIP port, UDP and TCP; TLS is one above), ast_dir and ast_cert.
asterisk_place() {
  need openssl
  as_root "Asterisk's folder"
  ast_root=$("$asterisk_conf/install") || skip "$ast_root"
  ast=$(free_ports) || fail "no free ports"
  ast_dir=$work/asterisk
  mkdir -p "$ast_dir"/{etc,db,spool/outgoing,spool/tmp,run,log,rx,tx}
  certificate "$ast_dir/etc" asterisk.test
  ast_cert=$ast_dir/etc/ca.pem
}
# asterisk_routes TRANSPORT FIRST_DIGIT...: [[route]]s for a gateway: numbers that begin so go to Asterisk.
asterisk_routes() {
  local how=$1 port=$ast digit; shift
  [ "$how" != tls ] || port=$((ast + 1))
  for digit; do printf '[[route]]\nprefix = "%s"\nto = "sip:127.0.0.1:%s;transport=%s"\n' "$digit" "$port" "$how"; done
}
# gateway_contact TRANSPORT: where Asterisk reaches gateway a.
gateway_contact() {
  local port=$sip_a
  [ "$1" != tls ] || port=$((sip_a + 6))
  echo "sip:127.0.0.1:$port\\;transport=$1"
}
# asterisk_up GW_CONTACT: starts it. Calls of its own go to GW_CONTACT. `ast_rtp`: first and last port for RTP, where 28 calls are not enough.
ast_rtp=()
asterisk_up() {
  local gw=${1//\\/\\\\} file modules
  : > "$ast_dir/log/fax.log"; : > "$ast_dir/log/dtmf.log"
  modules=$(cd "$ast_root" && echo usr/lib/*/asterisk/modules)
  for file in "$asterisk_conf"/conf/*.conf; do
    sed -e "s|@MODULES@|/$modules|; s|@PORT@|$ast|; s|@TLSPORT@|$((ast + 1))|; s|@GW@|$gw|" \
      -e "s|@RTP_FIRST@|${ast_rtp[0]:-$((ast + 4))}|; s|@RTP_LAST@|${ast_rtp[1]:-$((ast + 59))}|; s|@UDPTL_FIRST@|$((ast + 60))|; s|@UDPTL_LAST@|$((ast + 99))|" \
      "$file" > "$ast_dir/etc/${file##*/}"
  done
  asterisk_inside asterisk -f -C /peer/etc/asterisk.conf < /dev/null > "$ast_dir/log/stdout" 2>&1 & keep $!
  asterisk_ready() { asterisk_cli core waitfullybooted | grep -q 'fully booted'; }
  until_true 60 "Asterisk to start" asterisk_ready
}
# In a mount namespace of its own, which is gone with the command: nothing stays mounted in a folder that somebody may delete.
asterisk_inside() {
  exec unshare --mount --propagation private bash -c '
    mount --bind /dev "$0/dev" && mount --bind /proc "$0/proc" && mount --bind "$1" "$0/peer" && root=$0 && shift && exec chroot "$root" "$@"' "$ast_root" "$ast_dir" "$@"
}
asterisk_cli() { (asterisk_inside asterisk -C /peer/etc/asterisk.conf -rx "$*"); }
# asterisk_calls ENDPOINT NUMBER EXTENSION [VARIABLE=VALUE...]: it calls NUMBER here; whoever answers gets EXTENSION.
asterisk_calls() {
  local file; file=$(mktemp "$ast_dir/spool/tmp/call.XXXXXX")
  { printf 'Channel: PJSIP/%s@%s\nMaxRetries: 0\nWaitTime: 60\nContext: peer\nExtension: %s\nPriority: 1\n' "$2" "$1" "$3"; shift 3; [ $# = 0 ] || printf 'Setvar: %s\n' "$@"; } > "$file"
  mv "$file" "$ast_dir/spool/outgoing/"
}
