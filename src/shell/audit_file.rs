//! The audit trail on disk: `audit.jsonl` of the state folder, only ever appended to, and `audit.head` beside it. When the file is large it is put
//! aside as `audit-LAST.jsonl` (the number of its last line) and the chain goes on in a new one; old ones are the operator's to take away.
//!
//! A thread of its own writes and syncs, because the disk may take its time and calls do not wait for it.

use super::clock::{self, rfc3339};
use super::log::Seldom;
use super::state_folder::put;
use crate::audit::verify::{Fault, Verifier};
use crate::audit::{Event, Hash, Head, hash};
use crate::clock::WallMs;
use crate::limits::{AUDIT_FILE_BYTES_MAX, AUDIT_QUEUE};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

const FILE: &str = "audit.jsonl";
const HEAD: &str = "audit.head";

/// The file and its head.
pub struct AuditFile {
    folder: PathBuf,
    file: File,
    head: Head,
    bytes: u64,
    bytes_max: u64,
}

impl AuditFile {
    /// Opens (or starts) the trail. What a crash left is made good: a line that was complete counts, one that was not is taken away.
    pub fn open(folder: &Path, bytes_max: u64) -> io::Result<AuditFile> {
        let path = folder.join(FILE);
        let mut file = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(&path)?;
        let last = last_line(&mut file)?;
        let kept = read_head(folder)?;
        let head = match (kept, &last) {
            (Some(head), Some(LastLine { line, bytes, whole })) if head.next.is_some() => {
                if head.next == Some(hash(line)) {
                    if !whole {
                        file.write_all(b"\n")?;
                    }
                    head.after(line)
                } else {
                    if !whole {
                        // The beginning of a line that nobody was told of.
                        let length = file.seek(SeekFrom::End(0))?;
                        file.set_len(length - bytes)?;
                    }
                    Head { next: None, ..head }
                }
            }
            // The head is believed over the lines: what was done to them shows at the place where it was done.
            (Some(head), _) => Head { next: None, ..head },
            (None, Some(LastLine { line, .. })) => {
                crate::audit::verify::read(line).map_or_else(Head::default, |(seq, _)| Head { seq, hash: hash(line), next: None })
            }
            (None, None) => Head::default(),
        };
        if last.as_ref().is_some_and(|last| !last.whole && kept.is_none_or(|h| h.next.is_none())) {
            file.write_all(b"\n")?;
        }
        let bytes = file.seek(SeekFrom::End(0))?;
        let lost = kept.is_none() && last.is_some();
        let mut opened = AuditFile { folder: folder.to_owned(), file, head, bytes, bytes_max };
        if lost {
            let words = "the head of the trail was missing; what stood at its end cannot be told";
            opened.append(clock::wall(), &Event { what: "head-missing", words: words.into(), ..Event::default() })?;
        }
        Ok(opened)
    }

    /// One more line, on disk when this returns.
    pub fn append(&mut self, at: WallMs, event: &Event) -> io::Result<()> {
        if self.bytes >= self.bytes_max {
            self.begin_another()?;
        }
        let line = self.head.line(&rfc3339(at), event);
        // First which line comes, then the line, then that it is there: whatever is cut off can be told from what was taken away.
        self.put_head(&Head { next: Some(hash(&line)), ..self.head })?;
        self.file.write_all(format!("{line}\n").as_bytes())?;
        self.file.sync_data()?;
        self.bytes += line.len() as u64 + 1;
        self.head = self.head.after(&line);
        self.put_head(&self.head.clone())
    }

    fn begin_another(&mut self) -> io::Result<()> {
        let path = self.folder.join(FILE);
        std::fs::rename(&path, self.folder.join(format!("audit-{:012}.jsonl", self.head.seq)))?;
        self.file = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(&path)?;
        self.bytes = 0;
        File::open(&self.folder)?.sync_all()
    }

    fn put_head(&self, head: &Head) -> io::Result<()> {
        put(&self.folder.join(HEAD), head.text().as_bytes(), 0o600)
    }
}

fn read_head(folder: &Path) -> io::Result<Option<Head>> {
    match std::fs::read_to_string(folder.join(HEAD)) {
        Ok(text) => Ok(Head::parse(&text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// The last line of a file.
struct LastLine {
    line: String,
    /// Its length on disk: what was cut off need not be text.
    bytes: u64,
    /// It has its end.
    whole: bool,
}

/// Reads it. Lines are short: an event holds no more than a call's few words.
fn last_line(file: &mut File) -> io::Result<Option<LastLine>> {
    let length = file.seek(SeekFrom::End(0))?;
    let from = length.saturating_sub(64 * 1024);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let whole = bytes.last() == Some(&b'\n');
    let text = &bytes[..bytes.len() - usize::from(whole)];
    let line = text.rsplit(|b| *b == b'\n').next().unwrap_or_default();
    Ok(Some(LastLine { line: String::from_utf8_lossy(line).into_owned(), bytes: line.len() as u64, whole }))
}

/// What was found.
pub struct Verdict {
    /// Lines of all files.
    pub lines: u64,
    /// Files.
    pub files: usize,
    /// The last line: a hash to note elsewhere.
    pub head: Head,
    /// The first bad line: the file, its line in there, and what is wrong.
    pub fault: Option<(String, usize, Fault)>,
    /// The hash that was to be found is not there.
    pub misses: bool,
}

/// Reads the whole trail of a state folder, from line `from` of it on; `wanted`: a head that somebody noted.
pub fn verify(folder: &Path, from: u64, wanted: Option<Hash>) -> io::Result<Verdict> {
    // Before the lines: those that come while we read are then the head's next, or later ones, and those are not looked at.
    let head = read_head(folder)?;
    let mut verifier = Verifier::from(from);
    if let Some(wanted) = wanted {
        verifier = verifier.wanting(wanted);
    }
    let mut names: Vec<String> = std::fs::read_dir(folder)?.flatten().filter_map(|e| e.file_name().into_string().ok()).collect();
    names.retain(|n| n.strip_prefix("audit-").is_some_and(|n| n.ends_with(".jsonl")));
    names.sort();
    names.push(FILE.to_owned());
    let (mut files, mut lines, mut last) = (0, 0, (FILE.to_owned(), 0));
    let under_way = head.and_then(|h| h.next).is_some();
    for name in names {
        let file = match File::open(folder.join(&name)) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        files += 1;
        let mut reader = BufReader::new(file);
        let mut bytes = Vec::new();
        for n in 1.. {
            bytes.clear();
            if reader.read_until(b'\n', &mut bytes)? == 0 {
                break;
            }
            let whole = bytes.last() == Some(&b'\n');
            let line = std::str::from_utf8(&bytes[..bytes.len() - usize::from(whole)]);
            let at_head = head.is_some_and(|h| verifier.last().seq == h.seq);
            if !whole && under_way && at_head {
                // It was being written when it all stopped.
                break;
            }
            let judged = line.map_err(|_| Fault::Unreadable).and_then(|line| verifier.line(line));
            if let Err(fault) = judged {
                return Ok(Verdict { lines, files, head: *verifier.last(), fault: Some((name, n, fault)), misses: verifier.misses() });
            }
            lines += 1;
            last = (name.clone(), n);
        }
    }
    let fault = verifier.end(head.as_ref()).err().map(|fault| (last.0, last.1, fault));
    Ok(Verdict { lines, files, head: *verifier.last(), fault, misses: verifier.misses() })
}

/// Where events go. Cheap to clone; the last one to go waits until all is on disk.
#[derive(Clone)]
pub struct Audit {
    inner: Arc<Inner>,
}

struct Inner {
    to: Mutex<Option<SyncSender<(WallMs, Event)>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Audit {
    /// Opens the trail of a state folder.
    pub fn start(folder: &Path) -> Result<Audit, String> {
        let file = AuditFile::open(folder, AUDIT_FILE_BYTES_MAX).map_err(|e| format!("{}: {e}", folder.join(FILE).display()))?;
        let (to, events) = sync_channel(AUDIT_QUEUE);
        let thread = std::thread::Builder::new().name("audit".into()).spawn(move || write_all(file, &events));
        let thread = thread.map_err(|e| format!("a thread for the audit trail: {e}"))?;
        Ok(Audit { inner: Arc::new(Inner { to: Mutex::new(Some(to)), thread: Mutex::new(Some(thread)) }) })
    }

    /// Remembers an event. When the disk is behind by the whole queue, this waits for it: nothing is left out.
    pub fn write(&self, event: Event) {
        let to = self.inner.to.lock().expect("no thread panics while it holds the queue").clone();
        if let Some(to) = to {
            // The thread ends only after the queue is closed.
            let _thread_is_gone = to.send((clock::wall(), event));
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Ok(mut to) = self.to.lock() {
            to.take();
        }
        if let Some(thread) = self.thread.lock().ok().and_then(|mut t| t.take()) {
            let _panicked = thread.join();
        }
    }
}

fn write_all(mut file: AuditFile, events: &Receiver<(WallMs, Event)>) {
    while let Ok((at, event)) = events.recv() {
        if let Err(e) = file.append(at, &event) {
            static TOLD: Seldom = Seldom::new();
            if let Some(more) = TOLD.pass() {
                tracing::error!("the audit trail cannot be written: {e}; lost: {event:?} ({more} more were not logged)");
            }
            // What is half written is made good as after a crash.
            if let Ok(again) = AuditFile::open(&file.folder, file.bytes_max) {
                file = again;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);
    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("tipring-audit-{name}-{}", std::process::id()));
            let _none_left_over = std::fs::remove_dir_all(&folder);
            std::fs::create_dir_all(&folder).unwrap();
            Folder(folder)
        }
        fn append(&self, n: usize, bytes_max: u64) {
            let mut file = AuditFile::open(&self.0, bytes_max).unwrap();
            for i in 0..n {
                file.append(WallMs(i as i64), &Event { what: "call", words: format!("event {i}"), ..Event::default() }).unwrap();
            }
        }
        fn text(&self) -> String {
            std::fs::read_to_string(self.0.join(FILE)).unwrap()
        }
        fn verify(&self) -> Verdict {
            verify(&self.0, 1, None).unwrap()
        }
    }
    impl Drop for Folder {
        fn drop(&mut self) {
            let _gone = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_chain_goes_on_over_restarts_and_files_and_a_missing_file_shows() {
        let folder = Folder::new("files");
        for _ in 0..4 {
            folder.append(5, 1000);
        }
        let verdict = folder.verify();
        assert_eq!((verdict.lines, verdict.fault), (20, None));
        assert!(verdict.files > 3, "{} files", verdict.files);
        let mut names: Vec<PathBuf> = std::fs::read_dir(&folder.0).unwrap().map(|e| e.unwrap().path()).collect();
        names.retain(|n| n.to_string_lossy().contains("audit-"));
        names.sort();
        std::fs::remove_file(&names[1]).unwrap();
        assert!(matches!(folder.verify().fault, Some((_, 1, Fault::OutOfOrder { .. }))));
        std::fs::remove_file(&names[0]).unwrap();
        let first = names[1].to_string_lossy();
        let last: u64 = first[first.len() - 18..first.len() - 6].parse().unwrap();
        assert!(folder.verify().fault.is_some());
        assert_eq!(verify(&folder.0, last + 1, None).unwrap().fault, None, "the operator says that they are elsewhere");
    }

    #[test]
    fn a_crash_anywhere_in_a_line_is_made_good_and_is_no_fault() {
        let folder = Folder::new("crash");
        folder.append(3, u64::MAX);
        let head = read_head(&folder.0).unwrap().unwrap();
        let line = head.line("t", &Event { what: "call", words: "Zoë, cut off".into(), ..Event::default() });
        let before = folder.text();
        let within_a_letter = line.find('ë').unwrap() + 1;
        for cut in [0, 1, line.len() / 2, within_a_letter, line.len(), line.len() + 1] {
            std::fs::write(folder.0.join(HEAD), Head { next: Some(hash(&line)), ..head }.text()).unwrap();
            std::fs::write(folder.0.join(FILE), [before.as_bytes(), &format!("{line}\n").as_bytes()[..cut]].concat()).unwrap();
            assert_eq!(folder.verify().fault, None, "{cut}: as it lies there");
            folder.append(1, u64::MAX);
            let verdict = folder.verify();
            let kept = u64::from(cut >= line.len());
            assert_eq!((verdict.lines, verdict.fault), (4 + kept, None), "{cut}: and when it goes on");
        }
    }

    #[test]
    fn what_was_done_to_it_shows_also_after_it_went_on() {
        let folder = Folder::new("edited");
        folder.append(4, u64::MAX);
        let good = folder.text();
        let lines: Vec<&str> = good.lines().collect();
        let put = |lines: &[&str]| std::fs::write(folder.0.join(FILE), lines.iter().map(|l| format!("{l}\n")).collect::<String>()).unwrap();
        put(&lines[..3]);
        assert!(matches!(folder.verify().fault, Some((_, 3, Fault::Truncated { last: 4, found: 3 }))));
        folder.append(1, u64::MAX);
        assert!(matches!(folder.verify().fault, Some((_, 4, Fault::OutOfOrder { expected: 4, found: 5 }))));
        std::fs::write(folder.0.join(FILE), good.replace("event 3", "event 9")).unwrap();
        std::fs::write(folder.0.join(HEAD), Head { seq: 4, hash: hash(lines[3]), next: None }.text()).unwrap();
        assert!(matches!(folder.verify().fault, Some((_, 4, Fault::LastChanged))));
        folder.append(1, u64::MAX);
        assert!(matches!(folder.verify().fault, Some((_, 5, Fault::Broken))));
        std::fs::remove_file(folder.0.join(HEAD)).unwrap();
        assert!(folder.verify().fault.is_some());
    }
}
