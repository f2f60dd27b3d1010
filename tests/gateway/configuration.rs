//! What a person who wrote a wrong line is told.

use super::*;

#[test]
fn a_wrong_configuration_is_refused_with_file_line_and_key() {
    let folder = Folder::new("config");
    let good = "[sip]\nlisten = \"127.0.0.1:5060\"\n[api]\nlisten = \"127.0.0.1:5080\"\n[directory]\napi = \"127.0.0.1:6080\"\n[[port]]\nname = \"p\"\nkind = \"sim-phone\"\nnumber = \"2001\"\npassword = \"x\"\n";
    let cases: &[(&str, &str, &str, &str)] = &[
        ("unknown-key", "listen = \"127.0.0.1:5060\"", "lissten = \"127.0.0.1:5060\"", ":2: lissten: "),
        ("bad-address", "listen = \"127.0.0.1:5080\"", "listen = \"127.0.0.1\"", ":4: listen: "),
        ("no-toml", "[directory]", "[directory", ":5: "),
        ("bad-kind", "kind = \"sim-phone\"", "kind = \"toaster\"", ":9: kind: "),
        ("open-api", "listen = \"127.0.0.1:5080\"", "listen = \"0.0.0.0:5080\"", ":4: api.listen: "),
        ("bad-range", "[directory]", "[media]\nports = [9, 3]\n[directory]", ":6: media.ports: "),
        (
            "sip-in-media",
            "[directory]",
            "[media]\nports = [5000, 5199]\n[directory]",
            ":6: media.ports: [5000, 5199] contains the port of sip.listen, 5060",
        ),
        ("bad-country", "[directory]", "[line]\ncountry = \"XX\"\n[directory]", ":6: line.country: "),
        ("bad-map", "[directory]", "[line]\ndigit_map = \"[2-\"\n[directory]", ":6: line.digit_map: "),
        ("no-calls", "[directory]", "[line]\ncalls_max = 0\n[directory]", ":6: line.calls_max: "),
        ("hasty", "[directory]", "[emergency]\nsilence_ms = 50\n[directory]", ":6: emergency.silence_ms: 50: must be 1000 to 10000"),
        ("patient", "[directory]", "[emergency]\nno_answer_s = 600\n[directory]", ":6: emergency.no_answer_s: 600: must be 10 to 120"),
        ("trusts-a-name", "[api]", "trusted = [\"sip.example\"]\n[api]", ":3: sip.trusted: \"sip.example\" is neither"),
        ("trusts-all", "[api]", "trusted = [\"0.0.0.0/0\"]\n[api]", ":3: sip.trusted: \"0.0.0.0/0\" has a prefix that"),
        ("short-session", "[api]", "session_expires_s = 89\n[api]", ":3: sip.session_expires_s: 89: must be 90"),
        ("bad-code", "[directory]", "[line]\nwithhold_code = \"67\"\n[directory]", ":6: line.withhold_code: \"67\" is no code"),
        ("alike", "[directory]", "[line]\nshow_code = \"*6\"\n[directory]", ":6: line.show_code: *6 and *67 "),
        ("two-at-once", "password = \"x\"", "password = \"x\"\noutside_calls_max = 2", ":12: port[0].outside_calls_max: a port"),
        ("bad-target", "[directory]", "[emergency]\ntarget = \"port:nowhere\"\n[directory]", ":6: emergency.target: "),
        (
            "port-twice",
            "password = \"x\"\n",
            "password = \"x\"\n[[port]]\nname = \"p\"\nkind = \"sim-phone\"\nnumber = \"2002\"\npassword = \"x\"\n",
            ":12: port[1]: the name \"p\" stands twice",
        ),
        (
            "number-twice",
            "password = \"x\"\n",
            "password = \"x\"\n[[port]]\nname = \"q\"\nkind = \"sim-phone\"\nnumber = \"2001\"\npassword = \"x\"\n",
            ":12: port[1]: the number 2001 stands twice",
        ),
        ("no-password", "password = \"x\"\n", "", ":7: port[0]: needs a password"),
        ("lost-password-file", "password = \"x\"\n", "password_file = \"nowhere.csv\"\n", ":11: port[0].password_file: "),
    ];
    for (name, from, to, expected) in cases {
        assert!(good.contains(from), "{name}");
        let path = folder.write(&format!("{name}.toml"), &good.replacen(from, to, 1));
        let path = path.to_str().expect("a plain path");
        for verb in ["gateway", "check"] {
            let out = folder.tipring(&[verb, "--config", path]);
            let words = String::from_utf8_lossy(&out.stderr).into_owned();
            assert_eq!(out.status.code(), Some(2), "{verb} {name}: {words}");
            assert!(words.contains(&format!("{path}{expected}")), "{verb} {name}: expected {expected:?} in: {words}");
        }
    }
    let absent = folder.tipring(&["gateway", "--config", "nowhere.toml"]);
    assert!(absent.status.code() == Some(2) && String::from_utf8_lossy(&absent.stderr).contains("nowhere.toml"));
    // A port that somebody has already is told by its key.
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let address = taken.local_addr().expect("bound").to_string();
    let path = folder.write("taken.toml", &good.replace("127.0.0.1:5060", &address));
    let out = folder.tipring(&["gateway", "--config", path.to_str().expect("a plain path")]);
    let words = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(2) && words.contains(&format!("sip.listen: UDP {address}")), "{words}");
}
