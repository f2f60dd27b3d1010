//! Load for a directory: `cargo run --release --example directory_load -- HOST:PORT CLIENTS SECONDS DIGITS [PID]`.
//! Accounts are `N,pwN`. Registers (renewing after the first turn) as fast as answers come; prints the rate, latency, and the CPU of PID.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tipring::api::directory::RegisterRequest;
use tipring::shell::clock::now;
use tipring::shell::directory_client::{DirectoryClient, Login, Timeouts};

fn cpu_ticks(pid: &str) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit(')').next().unwrap_or("");
    rest.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let api: std::net::SocketAddr = args[1].parse().expect("HOST:PORT");
    let (clients, seconds, digits): (usize, u64, usize) =
        (args[2].parse().expect("CLIENTS"), args[3].parse().expect("SECONDS"), args[4].parse().expect("DIGITS"));
    let pid = args.get(5).cloned().unwrap_or_default();
    for look_up in [false, true] {
        let stop = Arc::new(AtomicBool::new(false));
        let (cpu, start) = (cpu_ticks(&pid), now());
        let mut load = tokio::task::JoinSet::new();
        for lane in 0..clients {
            let stop = stop.clone();
            load.spawn(async move {
                let client = DirectoryClient::new(api, Timeouts::default());
                let (mut latencies_us, mut failed) = (Vec::new(), 0u64);
                for i in (lane..10_000).step_by(clients).cycle() {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let user = format!("{i:0digits$}");
                    let login = Login { password: format!("pw{user}"), user: user.clone() };
                    let before = now();
                    let fine = if look_up {
                        client.lookup(None, &user).await.is_ok()
                    } else {
                        let ask = RegisterRequest {
                            contact: format!("127.0.1.1:{}", 10_000 + i),
                            instance: format!("terminal-{i}"),
                            ..RegisterRequest::default()
                        };
                        client.register(&login, &ask).await.is_ok()
                    };
                    latencies_us.push((now() - before).as_micros() as u64);
                    failed += u64::from(!fine);
                }
                (latencies_us, failed)
            });
        }
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        stop.store(true, Ordering::Relaxed);
        let (mut all, mut failed) = (Vec::new(), 0);
        while let Some(Ok((l, f))) = load.join_next().await {
            all.extend(l);
            failed += f;
        }
        let took = (now() - start).as_secs_f64();
        all.sort_unstable();
        let at = |p: usize| all.get(all.len() * p / 100).copied().unwrap_or(0) as f64 / 1000.0;
        let cpu_us = (cpu_ticks(&pid) - cpu) as f64 * 10_000.0 / all.len().max(1) as f64;
        println!(
            "{} {:.0}/s, p50 {:.2} ms, p99 {:.2} ms, failed {failed}, server CPU {cpu_us:.1} us/op",
            if look_up { "look-up" } else { "register" },
            all.len() as f64 / took,
            at(50),
            at(99)
        );
    }
}
