//! Files that are refused, and what is accepted for a machine as things are.

use super::*;
use tipring_dsp::page::chart::Letter;

struct Folder(PathBuf);
impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tipring-sim-{name}-{}", std::process::id()));
        let _old = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
    fn at(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}
impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

fn fax(folder: &Folder, outbox: &Path) -> Prepared {
    let page = Letter::new(1, 1, 1).with_rows(100).draw().unwrap();
    let file = folder.at("page.tif");
    std::fs::write(&file, tiff::write(std::slice::from_ref(&page), tiff::Options::default())).unwrap();
    prepare(PortKind::SimFax, SimAction::SendFax { number: "2001".into(), pages: vec![file] }, outbox).unwrap()
}

fn event(what: Happening) -> SimEvent {
    SimEvent { at_ms: 0, what }
}

#[test]
fn only_regular_files_of_bounded_size_are_read() {
    let folder = Folder::new("read");
    for device in ["/dev/zero", "/dev/null", "/"] {
        assert!(read_file(Path::new(device)).is_err_and(|why| why.contains("not a regular file")), "{device}");
    }
    let large = PathBuf::from(folder.at("large.wav"));
    File::create(&large).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
    assert!(read_file(&large).is_err_and(|why| why.contains("larger than 64 MB")));
    assert!(read_file(Path::new(&folder.at("absent"))).is_err_and(|why| why.contains("absent")));
    std::fs::write(folder.at("small"), "abc").unwrap();
    assert_eq!(read_file(Path::new(&folder.at("small"))).unwrap(), b"abc");
}

#[test]
fn a_recording_replaces_nothing_but_a_recording() {
    let folder = Folder::new("record");
    let (heard, letter) = (PathBuf::from(folder.at("heard.wav")), PathBuf::from(folder.at("letter.txt")));
    write_wav(&heard, &[1; 800]).unwrap();
    write_wav(&heard, &[2; 400]).unwrap();
    assert_eq!(read_wav(&heard).unwrap(), [2; 400]);
    std::fs::write(&letter, "Dear Sir").unwrap();
    assert!(recordable(&letter).is_err() && write_wav(&letter, &[3; 8]).is_err());
    assert_eq!(std::fs::read(&letter).unwrap(), b"Dear Sir");
    assert!(recordable(&folder.0.join("nowhere/heard.wav")).is_err_and(|why| why.contains("no folder")));
    assert!(recordable(&folder.0.join("new.wav")).is_ok() && !folder.0.join("new.wav").exists());
}

#[test]
fn pages_on_their_way_are_private_and_are_gone_when_the_fax_is_over() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new("outbox");
    let outbox = outbox(&folder.0).unwrap();
    let left = || std::fs::read_dir(&outbox).unwrap().count();
    let port = PortId(0);
    let mut notes = Notes::new(1);

    let Control::SendFax { tiff, .. } = notes.order(port, fax(&folder, &outbox)).unwrap() else { panic!("a fax") };
    assert_eq!(std::fs::metadata(&tiff).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(&outbox).unwrap().permissions().mode() & 0o777, 0o700);
    notes.order(port, fax(&folder, &outbox)).unwrap();
    assert_eq!(left(), 2);
    let report = FaxReport {
        direction: FaxDirection::Sent,
        ok: true,
        text: "OK".into(),
        pages: 1,
        bps: 14_400,
        ecm: true,
        remote_ident: String::new(),
        bad_rows: 0,
        file: Some(tiff.clone()),
    };
    notes.take(port, &event(Happening::FaxDone(report)));
    assert!(left() == 1 && !tiff.exists());
    notes.refused(port, ControlError::Busy);
    assert_eq!(left(), 1, "lifting a machine that does not ring is no fax");
    notes.refused(port, ControlError::OutOfRange);
    assert_eq!(left(), 0);

    for _ in 0..FAXES_WAITING_MAX {
        notes.order(port, fax(&folder, &outbox)).unwrap();
    }
    assert!(notes.order(port, fax(&folder, &outbox)).is_err());
    assert_eq!(left(), FAXES_WAITING_MAX, "what is not accepted is not kept");
    // A crash leaves them; the next start does not.
    std::mem::forget(notes);
    assert_eq!((left(), super::outbox(&folder.0).is_ok(), left()), (FAXES_WAITING_MAX, true, 0));
}

#[test]
fn nobody_dials_on_hook() {
    let mut notes = Notes::new(1);
    let port = PortId(0);
    let order = |notes: &mut Notes, action| notes.order(port, prepare(PortKind::SimPhone, action, Path::new("nowhere")).unwrap()).is_ok();
    let dial = || SimAction::Dial { digits: "2001".into(), pulse: false };
    assert!(!order(&mut notes, dial()) && !order(&mut notes, SimAction::Flash));
    assert!(order(&mut notes, SimAction::OffHook) && order(&mut notes, dial()) && order(&mut notes, SimAction::Flash));
    assert!(order(&mut notes, SimAction::OnHook) && !order(&mut notes, dial()));
    // It lifted by itself.
    notes.take(port, &event(Happening::OffHook));
    assert!(order(&mut notes, dial()));
    assert!(!order(&mut notes, SimAction::StopRecording));
}

#[tokio::test]
async fn a_recording_is_noted_when_it_is_on_disk() {
    let folder = Folder::new("note");
    let (port, file) = (PortId(0), folder.at("heard.wav"));
    let mut notes = Notes::new(1);
    let record = prepare(PortKind::SimPhone, SimAction::Record { file: file.clone() }, &folder.0).unwrap();
    notes.order(port, record).unwrap();
    notes.take(port, &event(Happening::Recorded(vec![5; 800])));
    let note = loop {
        if let [note] = notes.after(port, 0).as_slice() {
            break note.clone();
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    assert_eq!((note.what.as_str(), note.detail, note.ok), ("recorded", file.clone(), Some(true)));
    assert_eq!(read_wav(Path::new(&file)).unwrap(), [5; 800]);
}
