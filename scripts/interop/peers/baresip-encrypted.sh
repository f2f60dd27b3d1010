# A telephone and baresip call each other with media that must be encrypted; sourced after stage.sh by a case that says `transport` (udp, tls),
# `keys` (of the account), `menc` (baresip's word), `module` (its module) and `media` (the record's word).
need baresip
[ -n "$(find /usr/lib /usr/local/lib -path "*baresip/modules/$module.so" 2>/dev/null | head -n 1)" ] || skip "baresip has no module $module here"
mkdir -p "$work/baresip"; certificate "$work/baresip"
python3 "$here/audio.py" speech "$work/baresip-says.wav" 4 4
python3 "$here/audio.py" speech "$work/phone-says.wav" 4 5
bare=$(free_ports) || fail "no free ports"
server=$bare there=
[ $transport != tls ] || { server=$((bare + 1)); sip_lines=("tls_ca = \"$work/baresip/ca.pem\""); }
machines=('phone1:sim-phone:account = "bare"')
gateway a 2 '[security]' 'media = "required"' '[[account]]' 'name = "bare"' "server = \"127.0.0.1:$server\"" "transport = \"$transport\"" 'user = "2001"' 'register = false' \
  'media = "required"' "keys = \"$keys\"" '[[route]]' 'prefix = "5"' 'account = "bare"'
[ $transport = tls ] && there="127.0.0.1:$((sip_a + 6));transport=tls" || there="127.0.0.1:$sip_a"
watch_wire "$bare"
baresip_lines=("module $module.so")
baresip_up 5001 "$bare" "$work/baresip-says.wav" "<sip:5001@127.0.0.1:$bare>;regint=0;mediaenc=$menc"
# baresip takes no sound before it has its keys.
hears() { [ "$(grep -ac 'dumping decode audio' "$work/baresip/log")" -ge "$1" ]; }
calls=0
talk() { # WHAT
  until_true 15 "the call ($1)" up a
  calls=$((calls + 1)); until_true 15 "baresip's keys ($1)" hears $calls; sleep 0.3
  sim a phone1 record "$work/heard-$1.wav"
  does a phone1 played sim a phone1 play "$work/phone-says.wav"
  sleep 4.5 # one whole round of what baresip says
  does a phone1 recorded sim a phone1 stop-recording
  sim a phone1 on-hook
  until_true 10 "all idle" idle a
  sleep 0.5
  like "$work/phone-says.wav" "$(baresip_wav dec)" "$1: phone to baresip"
  like "$work/baresip-says.wav" "$work/heard-$1.wav" "$1: baresip to phone"
}
# After a handshake baresip speaks before we have its last word: that is dropped, and nothing else is.
suites='"AEAD_AES_256_GCM|AEAD_AES_128_GCM|AES_CM_128_HMAC_SHA1_80"'
protected=".security.media == \"$media\" and (.security.cipher | test($suites)) and (.audio.srtp | test($suites)) and .audio.loss_pct == 0 and (.audio.srtp_dropped == 0 or \"$media\" == \"DTLS\")"
baresip_do dial "sip:2001@$there" >> "$work/ctl.log"
noticed a phone1 off-hook
talk incoming
record a 1 ".completed and .from == \"5001\" and .direction == \"incoming\" and $protected" "the record of the incoming call"
dial a phone1 5001
talk outgoing
record a 2 ".completed and .to == \"5001\" and .direction == \"outgoing\" and $protected" "the record of the outgoing call"
