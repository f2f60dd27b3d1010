//! The demo's calls between phones.

use super::processes::Process;
use super::{Stage, speech};
use crate::api::gateway::SimAction;
use tipring_hw::wav::{self, Coding};

/// What arrived must resemble what was said at least so much. A clean line gives 0.98 and more.
const CORRELATION_MIN: f64 = 0.9;

/// `from`@A dials `number`; phone1@B rings and answers; both speak in turn; A hangs up.
pub async fn call(stage: &Stage, a: &Process, b: &Process, from: &str, number: &str, said: &[i16], name: &str) -> Result<(), String> {
    let (mark_a, mark_b) = (a.mark(from).await?, b.mark("phone1").await?);
    let tell = |ok: bool, words: String| stage.story.tell(ok, words);
    a.sim(from, SimAction::OffHook).await?;
    a.expect(from, mark_a, &["dial-tone"], 5).await?;
    a.sim(from, SimAction::Dial { digits: number.into(), pulse: false }).await?;
    b.expect("phone1", mark_b, &["ringing"], 10).await?;
    tell(true, format!("{from}@A lifted, heard dial tone and dialled {number} by DTMF; phone1@B rings"));
    a.expect(from, mark_a, &["ringback"], 10).await?;
    b.expect("phone1", mark_b, &["off-hook"], 15).await?;
    tell(true, format!("{from}@A heard ringback; phone1@B was answered"));
    speak(stage, a, from, b, "phone1", said, &format!("{name}-a-to-b")).await?;
    // The answer is the same voice backwards: as speech-like as the first, and not mistaken for its echo.
    let reply: Vec<i16> = said.iter().rev().copied().collect();
    speak(stage, b, "phone1", a, from, &reply, &format!("{name}-b-to-a")).await?;
    a.sim(from, SimAction::OnHook).await?;
    b.expect("phone1", mark_b, &["reorder-tone", "busy-tone"], 10).await?;
    b.sim("phone1", SimAction::OnHook).await?;
    settled(a, from).await?;
    settled(b, "phone1").await?;
    tell(true, format!("{from}@A hung up; phone1@B heard the tone for that and hung up; both lines are idle"));
    Ok(())
}

/// One side speaks, the other records; the recording is compared with what was said.
async fn speak(
    stage: &Stage,
    from: &Process,
    from_port: &str,
    to: &Process,
    to_port: &str,
    said: &[i16],
    name: &str,
) -> Result<(), String> {
    let said_file = stage.out.join(format!("said-{name}.wav"));
    let heard_file = stage.out.join(format!("heard-{name}.wav"));
    std::fs::write(&said_file, wav::emit(said, Coding::Pcm16)).map_err(|e| format!("{}: {e}", said_file.display()))?;
    let (mark_from, mark_to) = (from.mark(from_port).await?, to.mark(to_port).await?);
    to.sim(to_port, SimAction::Record { file: heard_file.display().to_string() }).await?;
    from.sim(from_port, SimAction::Play { file: said_file.display().to_string() }).await?;
    from.expect(from_port, mark_from, &["played"], 10 + said.len() as u64 / 8000).await?;
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    to.sim(to_port, SimAction::StopRecording).await?;
    let note = to.expect(to_port, mark_to, &["recorded"], 5).await?;
    if note.ok != Some(true) {
        return Err(format!("{to_port}: {}", note.detail));
    }
    let heard = crate::shell::simulate::read_wav(&heard_file)?;
    let (r, _) = speech::correlate(said, &heard);
    let seconds = said.len() as f64 / 8000.0;
    let place = |p: &Process| if p.name == "gateway-a" { "A" } else { "B" };
    stage.story.tell(
        r >= CORRELATION_MIN,
        format!(
            "{from_port}@{} spoke {seconds:.1} s; what {to_port}@{} recorded correlates with it: {r:.3} (at least {CORRELATION_MIN})",
            place(from),
            place(to)
        ),
    );
    Ok(())
}

/// A number that is nobody's: the caller's own ear must hear reorder tone.
pub async fn unknown_number(stage: &Stage, a: &Process) -> Result<(), String> {
    let mark = a.mark("phone2").await?;
    a.sim("phone2", SimAction::OffHook).await?;
    a.expect("phone2", mark, &["dial-tone"], 5).await?;
    a.sim("phone2", SimAction::Dial { digits: "7777".into(), pulse: false }).await?;
    let heard = a.expect("phone2", mark, &["reorder-tone", "busy-tone", "ringback"], 15).await?;
    stage.story.tell(heard.what == "reorder-tone", format!("phone2@A dialled 7777, which is nobody's, and heard: {}", heard.what));
    a.sim("phone2", SimAction::OnHook).await?;
    settled(a, "phone2").await
}

/// Waits until the port is idle again.
async fn settled(gateway: &Process, port: &str) -> Result<(), String> {
    for _ in 0..100 {
        let rows = gateway.get("/v1/ports").await?;
        let idle = rows.as_array().is_some_and(|rows| rows.iter().any(|r| r["name"] == port && r["state"] == "idle"));
        if idle {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Err(format!("{}: {port} is not idle 5 s after hanging up", gateway.name))
}
