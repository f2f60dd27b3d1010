# `tipring directory` for cases in which telephones register by SIP; sourced after stage.sh. Domain lan.test, numbers of four digits.

# directory_up NUMBER...: with an account for each number (password pwNUMBER); sets dir (SIP on UDP and TCP), TLS one above, dir_api. What
# the function directory_more says, if the case has one, stands at the end of its file.
directory_up() {
  local number
  dir=$(free_ports) || fail "no free ports"
  dir_api=$((dir + 2))
  for number; do echo "$number,pw$number"; done > "$work/accounts.csv"
  cat > "$work/directory.toml" <<T
domain = "lan.test"
server_number = "1"
terminal_digits = 4
[sip]
listen = "127.0.0.1:$dir"
tls_listen = "127.0.0.1:$((dir + 1))"
[api]
listen = "127.0.0.1:$dir_api"
[registration]
lease_min_s = 10
address_conflict = "report"
[lookup]
credentials = "anyone"
[accounts]
file = "accounts.csv"
T
  if declare -F directory_more > /dev/null; then directory_more >> "$work/directory.toml"; fi
  "$bin" directory --config "$work/directory.toml" 2> "$work/directory.log" & keep $!
  until_true 20 "the directory" "$bin" status --config "$work/directory.toml"
}
# is_registered NUMBER
is_registered() { "$bin" registrations --json --config "$work/directory.toml" | jq -se --arg n "$1" '[.. | .number? // empty] | any(. == $n)'; }
