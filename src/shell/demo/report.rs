//! The demo's report: one HTML page that stands by itself beside the sound and the pages.

use super::Stage;
use std::fmt::Write;
use std::path::Path;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}\
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem;border-bottom:1px solid #ccc}table{border-collapse:collapse;width:100%}\
td,th{padding:.25rem .6rem;text-align:left;vertical-align:top;border-bottom:1px solid #eee}td.t{white-space:nowrap;color:#666;text-align:right}\
.ok{color:#0a6b2d;font-weight:600}.bad{color:#b00020;font-weight:600}.pages{display:flex;flex-wrap:wrap;gap:1rem}\
.pages figure{margin:0}.pages img{width:18rem;border:1px solid #999}figcaption{color:#666;font-size:.9rem}pre{overflow:auto;background:#f6f6f6;padding:.6rem;font-size:.8rem}";

/// Writes `report.html`.
pub fn write(stage: &Stage) -> std::io::Result<()> {
    let steps = stage.story.steps.lock().expect("no thread panics while it tells");
    let ok = steps.iter().all(|s| s.ok);
    let mut html = String::new();
    let mut put = |text: &str| html.push_str(text);
    put(&format!("<!doctype html><html lang=en><meta charset=utf-8><title>tipring demo</title><style>{STYLE}</style>"));
    put(&format!(
        "<h1>tipring demo: <span class={}>{}</span></h1><p>Seed {}. A number directory and two gateways as three processes on 127.0.0.1: phones and fax machines on one side of each gateway, SIP, RTP and T.38 between them.</p>",
        if ok { "ok" } else { "bad" },
        if ok { "everything held" } else { "not everything held" },
        stage.seed
    ));
    put("<h2>What happened</h2><table>");
    for step in steps.iter() {
        let (class, word) = if step.ok { ("ok", "ok") } else { ("bad", "FAIL") };
        put(&format!("<tr><td class=t>{:.1} s<td class={class}>{word}<td>{}", step.at_ms as f64 / 1000.0, escape(&step.words)));
    }
    put("</table>");
    let names = files(&stage.out);
    put("<h2>What was said, and what was heard</h2><table>");
    for said in names.iter().filter(|n| n.starts_with("said-")) {
        let heard = said.replacen("said-", "heard-", 1);
        put(&format!("<tr><td>{}<td><audio controls src=\"{said}\"></audio><td>", escape(&said[5..said.len() - 4])));
        if names.contains(&heard) {
            put(&format!("<audio controls src=\"{heard}\"></audio>"));
        }
    }
    put("</table><h2>Pages that arrived</h2><div class=pages>");
    for png in names.iter().filter(|n| n.starts_with("page-")) {
        let mut parts = png[5..png.len() - 4].split('-');
        let (fax, page) = (parts.next().unwrap_or("?"), parts.next().unwrap_or("?"));
        put(&format!(
            "<figure><img src=\"{png}\" alt=\"fax {fax}, page {page}\"><figcaption>fax {fax}, page {page} (<a href=\"received-{fax}.tif\">received-{fax}.tif</a>)</figcaption></figure>"
        ));
    }
    put("</div>");
    for gateway in ["gateway-a", "gateway-b"] {
        let records = std::fs::read_to_string(stage.own.join("state").join(gateway).join("calls.jsonl")).unwrap_or_default();
        put(&format!("<h2>Call records of {gateway}</h2><table><tr><th>started<th>from<th>to<th>route<th>media<th>result"));
        for record in records.lines().filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok()) {
            let text = |key: &str| escape(record[key].as_str().unwrap_or("-"));
            let mut media = String::new();
            if let Some(codec) = record["audio"]["codec"].as_str() {
                let _infallible =
                    write!(media, "{codec}, loss {} %, jitter {} ms", record["audio"]["loss_pct"], record["audio"]["jitter_ms"]);
            }
            if let Some(rate) = record["fax"]["rate"].as_str() {
                let _infallible = write!(
                    media,
                    "; T.38 {rate}{}, {} pages",
                    if record["fax"]["ecm"] == true { " ECM" } else { "" },
                    record["fax"]["pages"]
                );
            }
            put(&format!(
                "<tr><td class=t>{}<td>{}<td>{}<td>{}<td>{}<td>{}",
                text("started"),
                text("from"),
                text("to"),
                text("route"),
                escape(&media),
                text("result")
            ));
        }
        put("</table>");
    }
    std::fs::write(stage.out.join("report.html"), html)
}

/// What lies in the folder for people: report, sound, pages.
pub fn files(out: &Path) -> Vec<String> {
    let wanted = |name: &str| {
        name == "report.html"
            || [("received-", ".tif"), ("page-", ".png"), ("said-", ".wav"), ("heard-", ".wav")]
                .iter()
                .any(|(a, z)| name.starts_with(a) && name.ends_with(z))
    };
    let names = std::fs::read_dir(out).into_iter().flatten().flatten().map(|e| e.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|n| wanted(n)).collect();
    names.sort();
    names
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
