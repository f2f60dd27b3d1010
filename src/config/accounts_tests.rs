//! Accounts and routes as typed: what runs, and what is named with its line.

use super::*;
use std::path::Path;

const HEAD: &str = "[sip]\nlisten = \"127.0.0.1:6160\"\n[api]\nlisten = \"127.0.0.1:6180\"\n[media]\nports = [26000, 26063]\n";

fn read(text: &str) -> (GatewayConfig, Vec<String>) {
    let source = Source::new(Path::new("g.toml"), format!("{HEAD}{text}"));
    let config: GatewayConfig = source.parse().unwrap();
    let problems = config.check(&source).iter().map(ToString::to_string).collect();
    (config, problems)
}
const PORT: &str = "[[port]]\nname = \"phone1\"\nkind = \"sim-phone\"\nnumber = \"2001\"\n";

#[test]
fn a_full_account_is_read_and_explained() {
    let (config, problems) = read(&format!(
        "[[account]]\nname = \"office\"\nserver = [\"sip1.example.net\", \"sips:sip2.example.net:5071\"]\ntransport = \"tcp\"\nuser = \"4930\"\n\
         password = \"hush-hush\"\ncalls_max = 3\ncalls_per_hour = 40\noutbound_proxy = \"192.0.2.1:5070\"\n[[route]]\nprefix = \"0\"\nstrip = 1\nadd = \"+49\"\naccount = \"office\"\n\
         {PORT}account = \"office\"\n"
    ));
    assert_eq!(problems, Vec::<String>::new());
    let account = &config.accounts[0];
    assert_eq!(account.server_uris(), ["sip:sip1.example.net;transport=tcp", "sips:sip2.example.net:5071"]);
    assert_eq!(account.proxy_uri().unwrap(), "sip:192.0.2.1:5070;transport=tcp");
    assert_eq!(account.domain(), "sip1.example.net");
    let words = explained(&config).join("\n");
    assert!(words.contains("numbers 0... go through account office, with +49 in place of 0"), "{words}");
    assert!(
        words.contains("4930@sip1.example.net")
            && words.contains("outside calls: 60 an hour")
            && words.contains("3 calls at a time, 40 out an hour"),
        "{words}"
    );
    assert!(!format!("{config:?} {words}").contains("hush-hush"), "a secret is never printed");
}

#[test]
fn every_fault_is_named_with_its_line() {
    let account = "[[account]]\nname = \"a\"\nserver = \"s.example\"\nuser = \"1\"\n";
    for (text, says) in [
        ("[[account]]\nname = \"own\"\nserver = \"s.example\"\nuser = \"1\"\n".to_owned(), "g.toml:8: account[0].name: \"own\" is no name"),
        (format!("{account}{account}"), "g.toml:12: account[1].name: the name \"a\" stands twice"),
        (
            "[[account]]\nname = \"a\"\nserver = \"u@s.example\"\nuser = \"1\"\n".into(),
            "g.toml:9: account[0].server: \"u@s.example\" is no server",
        ),
        ("[[account]]\nname = \"a\"\nserver = \"sip:s.example;transport=ipx\"\nuser = \"1\"\n".into(), "g.toml:9: account[0].server"),
        ("[[account]]\nname = \"a\"\nserver = []\nuser = \"1\"\n".into(), "g.toml:9: account[0].server: 0 servers"),
        ("[[account]]\nname = \"a\"\nserver = \"s.example\"\n".into(), "g.toml:7: account[0]: needs a user"),
        (format!("{account}expires_s = 5\n"), "g.toml:11: account[0].expires_s: must be 60 to 86400"),
        (format!("{account}[[route]]\nprefix = \"0\"\naccount = \"b\"\n"), "g.toml:11: route[0]: there is no account \"b\""),
        (format!("{account}[[route]]\nprefix = \"0\"\n"), "g.toml:11: route[0]: needs an account"),
        (format!("{account}[[route]]\nprefix = \"0\"\naccount = \"a\"\nto = \"sip:x\"\n"), "g.toml:11: route[0]: account and to"),
        (format!("{account}[[route]]\nprefix = \"0\"\nstrip = 2\naccount = \"a\"\n"), "g.toml:11: route[0]: more digits to strip"),
        ("[[route]]\nprefix = \"0\"\nto = \"sip:u@x\"\n".into(), "g.toml:7: route[0]: \"sip:u@x\" is no server"),
        (format!("{PORT}account = \"b\"\n"), "g.toml:11: port[0].account: there is no account \"b\""),
        (format!("{PORT}outside_calls_max = 2\n"), "g.toml:11: port[0].outside_calls_max: a port has one call at a time: 1, or 0"),
        (format!("{PORT}outside_calls_per_hour = 0\n"), "g.toml:11: port[0].outside_calls_per_hour: 0 an hour: say outside_calls_max = 0"),
        (format!("{account}calls_max = 0\n"), "g.toml:11: account[0].calls_max: 0 would leave the account without a call"),
        (format!("{account}calls_per_hour = 0\n"), "g.toml:11: account[0].calls_per_hour: 0 would leave the account without a call"),
        (format!("{account}calls_max = 9999\n"), "g.toml:11: account[0].calls_max: 9999: at most 448"),
        (format!("{account}calls_per_hour = 60000\n"), "g.toml:11: account[0].calls_per_hour: 60000: at most 12000"),
        (format!("{PORT}outside_calls_per_hour = 5000\n"), "g.toml:11: port[0].outside_calls_per_hour: at most 1000"),
    ] {
        let (_, problems) = read(&text);
        assert!(problems.iter().any(|p| p.starts_with(says)), "{text}\nwanted: {says}\nfound: {problems:?}");
    }
}

#[test]
fn a_server_of_a_route_needs_no_account() {
    let (config, problems) = read(&format!(
        "[[route]]\nprefix = \"7\"\nto = \"sip:192.0.2.7:5080\"\n[[route]]\nprefix = \"8\"\nto = \"sip:192.0.2.7:5080\"\n{PORT}"
    ));
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(Outside::of(&config).peers().collect::<Vec<_>>(), ["sip:192.0.2.7:5080"]);
    let (table, _) = prefix_routes(&config);
    let goes = table.find(&crate::number::Number::parse("71").unwrap()).map(|o| o.way);
    assert_eq!(goes, Some(Way::Account(AccountId(0))));
}

#[test]
fn the_example_is_right() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/config/account-example.toml");
    let config = crate::config::gateway(&path).unwrap();
    assert!(!config.accounts.is_empty() && !config.routes.is_empty());
    assert!(matches!(crate::config::any(&path), Ok(crate::config::AnyConfig::Gateway(_))), "its domains do not make it a directory");
}
