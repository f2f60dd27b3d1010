//! The demo's three processes: their configurations (free ports, fresh passwords), starting, asking, killing.

use crate::api::gateway::{SimAction, SimNote};
use crate::shell::api_client;
use crate::shell::clock;
use serde_json::Value;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// Where everything listens.
pub struct Ports {
    /// The directory's API.
    pub directory: u16,
    /// SIP, API and first media port of A and B.
    pub gateways: [(u16, u16, u16); 2],
}

/// Media ports of each gateway.
const MEDIA_PORTS: u16 = 64;

impl Ports {
    /// Finds a block of free ports on loopback.
    pub fn free() -> Result<Self, String> {
        for attempt in 0..50u64 {
            let base = 20_000 + 2 * ((clock::seed().wrapping_add(attempt) % 18_000) as u16);
            let wanted = 16 + 2 * MEDIA_PORTS;
            let free = |p: u16| UdpSocket::bind(("127.0.0.1", p)).is_ok() && TcpListener::bind(("127.0.0.1", p)).is_ok();
            if (base..base + wanted).all(free) {
                let media = base + 16;
                return Ok(Ports { directory: base, gateways: [(base + 2, base + 3, media), (base + 4, base + 5, media + MEDIA_PORTS)] });
            }
        }
        Err("no block of free UDP and TCP ports on 127.0.0.1".into())
    }
}

/// Writes the three configurations; the passwords are fresh.
pub fn write_configs(folder: &Path, ports: &Ports) -> Result<(), String> {
    let put =
        |name: &str, text: String| std::fs::write(folder.join(name), text).map_err(|e| format!("{}: {e}", folder.join(name).display()));
    std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let numbers: Vec<String> = [2000, 3000].iter().flat_map(|base| (1..=4).map(move |i| (base + i).to_string())).collect();
    let secret = || clock::random::<12>().iter().map(|b| format!("{b:02x}")).collect::<String>();
    put("accounts.csv", numbers.iter().map(|n| format!("{n},{}\n", secret())).collect())?;
    let directory = format!(
        "domain = \"lan.test\"\nserver_number = \"1\"\nterminal_digits = 4\n\n[api]\nlisten = \"127.0.0.1:{}\"\n\n\
         [registration]\nlease_default_s = 120\nlease_min_s = 10\nlease_max_s = 3600\n\n[accounts]\nfile = \"accounts.csv\"\n",
        ports.directory
    );
    put("directory.toml", directory)?;
    for ((sip, api, media), (name, base)) in ports.gateways.iter().zip([("gateway-a", 2000), ("gateway-b", 3000)]) {
        let mut text = format!(
            "[sip]\nlisten = \"127.0.0.1:{sip}\"\n\n[api]\nlisten = \"127.0.0.1:{api}\"\n\n[media]\nports = [{media}, {}]\n\n\
             [directory]\napi = \"127.0.0.1:{}\"\n\n[line]\ncountry = \"US\"\ndigit_map = \"[2-8]xxx|9000|x.T\"\n\n[emergency]\ntarget = \"port:phone1\"\n",
            media + MEDIA_PORTS - 1,
            ports.directory
        );
        // Line 1 of the fax machines goes without error correction, line 2 with it.
        for (i, (port, kind, ecm)) in
            [("phone1", "sim-phone", true), ("phone2", "sim-phone", true), ("fax1", "sim-fax", false), ("fax2", "sim-fax", true)]
                .iter()
                .enumerate()
        {
            let rings = if *kind == "sim-phone" { 2 } else { 1 };
            text += &format!(
                "\n[[port]]\nname = \"{port}\"\nkind = \"{kind}\"\nnumber = \"{}\"\npassword_file = \"accounts.csv\"\nanswer_rings = {rings}\necm = {ecm}\n",
                base + 1 + i
            );
        }
        put(&format!("{name}.toml"), text)?;
    }
    Ok(())
}

/// One running process and its API.
pub struct Process {
    /// `directory`, `gateway-a` or `gateway-b`.
    pub name: &'static str,
    /// Its API.
    pub api: SocketAddr,
    /// Its state folder.
    pub state: PathBuf,
    child: Child,
}

impl Process {
    /// Starts `tipring VERB --config CONFIG`; logs go to a file.
    pub fn start(verb: &str, name: &'static str, out: &Path, api: u16) -> Result<Self, String> {
        let exe = std::env::current_exe().map_err(|e| format!("this program's own path: {e}"))?;
        let log = out.join("log").join(format!("{name}.log"));
        let open = || std::fs::OpenOptions::new().create(true).append(true).open(&log).map_err(|e| format!("{}: {e}", log.display()));
        let state = out.join("state");
        let child = Command::new(exe)
            .args([verb, "--config"])
            .arg(out.join("config").join(format!("{name}.toml")))
            .env("TIPRING_STATE", &state)
            .env_remove("TIPRING_CONFIG")
            .stdin(Stdio::null())
            .stdout(open()?)
            .stderr(open()?)
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| format!("{name} does not start: {e}"))?;
        Ok(Process { name, api: SocketAddr::from(([127, 0, 0, 1], api)), state: state.join(name), child })
    }

    /// Its process id.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until its API answers.
    pub async fn up(&mut self) -> Result<(), String> {
        for _ in 0..200 {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("{} ended at once ({status}); see its log", self.name));
            }
            // A directory's /health is plain text; any answer at all means that it listens.
            if !matches!(api_client::get(self.api, "/v1/status").await, Err(api_client::ApiError::Unreachable(..))) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(format!("{} does not answer on {}", self.name, self.api))
    }

    /// SIGKILL, as a power cut would.
    pub async fn kill(&mut self) -> Result<(), String> {
        self.child.kill().await.map_err(|e| format!("{}: {e}", self.name))
    }

    /// SIGTERM, and the end within ten seconds.
    pub async fn terminate(&mut self) -> Result<(), String> {
        let pid =
            self.child.id().and_then(|id| rustix::process::Pid::from_raw(id as i32)).ok_or_else(|| format!("{} is gone", self.name))?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).map_err(|e| format!("{}: {e}", self.name))?;
        match tokio::time::timeout(Duration::from_secs(10), self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("{} ended with {status}", self.name)),
            Ok(Err(e)) => Err(format!("{}: {e}", self.name)),
            Err(_) => Err(format!("{} did not end within 10 s of SIGTERM", self.name)),
        }
    }

    /// `GET` of its API, as its operator.
    pub async fn get(&self, path: &str) -> Result<Value, String> {
        api_client::request_as(self.api, self.token().as_deref(), "GET", path, None::<&()>).await.map_err(|e| format!("{}: {e}", self.name))
    }

    /// What makes its operator of us: that we can read its state folder.
    fn token(&self) -> Option<String> {
        let token = std::fs::read_to_string(self.state.join(crate::shell::state_folder::ADMIN_TOKEN)).ok()?;
        Some(token.trim().to_owned())
    }

    /// Hands at a simulated machine.
    pub async fn sim(&self, port: &str, action: SimAction) -> Result<(), String> {
        api_client::request_as(self.api, self.token().as_deref(), "POST", &format!("/v1/sim/{port}"), Some(&action))
            .await
            .map(|_| ())
            .map_err(|e| format!("{} {port}: {e}", self.name))
    }

    /// Notes of a machine after number `after`.
    pub async fn notes(&self, port: &str, after: u64) -> Result<Vec<SimNote>, String> {
        let value = self.get(&format!("/v1/sim/{port}?after={after}")).await?;
        serde_json::from_value(value).map_err(|e| format!("{} {port}: {e}", self.name))
    }

    /// The newest note's number.
    pub async fn mark(&self, port: &str) -> Result<u64, String> {
        Ok(self.notes(port, 0).await?.last().map_or(0, |n| n.seq))
    }

    /// Waits until the machine notes one of `whats` after number `after`.
    pub async fn expect(&self, port: &str, after: u64, whats: &[&str], within_s: u64) -> Result<SimNote, String> {
        for _ in 0..within_s * 20 {
            if let Some(note) = self.notes(port, after).await?.into_iter().find(|n| whats.contains(&n.what.as_str())) {
                return Ok(note);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(format!("{} {port}: no {} within {within_s} s", self.name, whats.join(" or ")))
    }
}
