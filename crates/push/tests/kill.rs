//! A process that pushes is killed at some moment, and another opens its store: every release that was acknowledged is
//! there, whole, and the last of them, or one after it, is served.

#![allow(clippy::unwrap_used, reason = "a test ends where its world breaks")]
#![allow(clippy::print_stdout, reason = "a test without a harness says itself how it went")]

use push::{Assets, Blob, Draft, DraftEntry, Hash, PushConfig, ReleaseName};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::SystemTime;
use telemetry::Registry;

/// After how many acknowledged releases it is killed, once each.
const KILLED_AFTER: [usize; 4] = [1, 3, 8, 20];

fn main() {
    let mut args = std::env::args().skip(1);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    if args.next().as_deref() == Some("--push-to") {
        runtime.block_on(push_for_ever(Path::new(&args.next().unwrap())));
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let mut last: u64 = 0;
    for acknowledged_max in KILLED_AFTER {
        let acknowledged = push_and_kill(data.path(), acknowledged_max);
        last = acknowledged.last().copied().unwrap_or(last).max(last);
        runtime.block_on(look(data.path(), last));
    }
    println!("a process that is killed leaves what it acknowledged: ok");
}

/// Runs a process that pushes; the releases that it acknowledged.
fn push_and_kill(data: &Path, acknowledged_max: usize) -> Vec<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("--push-to")
        .arg(data)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    while acknowledged.len() < acknowledged_max {
        acknowledged.push(lines.next().unwrap().unwrap().parse().unwrap());
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What it still said before it was killed was acknowledged too.
    acknowledged.extend(lines.map_while(Result::ok).filter_map(|line| line.parse::<u64>().ok()));
    acknowledged
}

async fn open(data: &Path) -> std::sync::Arc<Assets> {
    let config = PushConfig { keep: 1000, ..PushConfig::default() };
    Assets::open("assets", &config, data, data, &Registry::new()).await.unwrap()
}

fn content(sequence: u64, file: usize) -> Vec<u8> {
    // The second file is the same for ten releases, and long enough to be compressed.
    let number = if file == 0 { sequence } else { sequence / 10 };
    format!("file {file} of release {number}\n").repeat(1 + 200 * file).into_bytes()
}

async fn push_for_ever(data: &Path) {
    let assets = open(data).await;
    let first = assets.releases().first().map_or(1, |seen| seen.sequence + 1);
    for sequence in first.. {
        let mut draft = Draft::default();
        for file in 0..2 {
            let bytes = content(sequence, file);
            let blob = Blob { hash: Hash::of(&bytes), size_bytes: bytes.len() as u64 };
            let missing = assets.missing(vec![blob], SystemTime::now()).await.unwrap();
            for missing in missing {
                let rest = bytes[missing.offset as usize..].to_vec().into();
                assets.upload(blob, missing.offset, Some("text/plain"), rest).await.unwrap();
            }
            let entry = DraftEntry {
                hash: blob.hash,
                size_bytes: blob.size_bytes,
                media_type: None,
                expires_unix_ms: None,
            };
            draft.files.insert(format!("{file}.txt").parse().unwrap(), entry);
        }
        let seen = assets.release(draft, SystemTime::now()).await.unwrap();
        assert_eq!(seen.sequence, sequence);
        let mut out = std::io::stdout().lock();
        writeln!(out, "{sequence}").unwrap();
        out.flush().unwrap();
    }
}

async fn look(data: &Path, last: u64) {
    let assets = open(data).await;
    let current = assets.manifest(None).unwrap();
    assert!(current.sequence >= last, "{last} was acknowledged, {} is served", current.sequence);
    for sequence in 1..=current.sequence {
        let name: ReleaseName = format!("r{sequence}").parse().unwrap();
        let manifest = assets.manifest(Some(&name)).unwrap();
        for (file, entry) in manifest.files.values().enumerate() {
            let blobs = data.join("push/assets/blobs");
            let text = entry.hash.to_string();
            assert_eq!(std::fs::read(blobs.join(&text[..2]).join(&text)).unwrap(), content(sequence, file));
            for (coding, blob) in entry.codings() {
                let text = blob.hash.to_string();
                let bytes = std::fs::read(blobs.join(&text[..2]).join(&text)).unwrap();
                assert_eq!(Hash::of(&bytes), blob.hash, "{coding} of release {sequence}");
            }
        }
    }
}
