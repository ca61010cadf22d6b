//! A file system whose steps fail, or wait, when a test says so; and that knows what a loss of power would leave.

use super::file_system::{FileSystem, Host};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Create,
    Write,
    Sync,
    Rename,
    SyncFolder,
}

#[derive(Default)]
pub(crate) struct Staged {
    failing: Mutex<Vec<Step>>,
    gate: Mutex<Option<Gate>>,
    disk: Mutex<Disk>,
}

struct Gate {
    step: Step,
    /// So many are let through before it.
    skipped: usize,
    reached: Sender<()>,
    opened: Receiver<()>,
}

/// A step that is waited in, until this is dropped.
pub(crate) struct Held {
    reached: Receiver<()>,
    _opened: Sender<()>,
}

impl Held {
    pub(crate) fn wait(&self) {
        self.reached.recv_timeout(std::time::Duration::from_secs(30)).expect("the step is reached");
    }
}

/// What is on it for sure.
#[derive(Default)]
struct Disk {
    /// By inode, as of the last sync.
    files: HashMap<u64, Vec<u8>>,
    /// What the name leads to, and may lead to.
    names: Vec<u64>,
}

impl Staged {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn fail(&self, steps: &[Step]) {
        *self.failing.lock().unwrap() = steps.to_vec();
    }

    /// Whoever comes to the step next, but for those who are let through, waits there.
    pub(crate) fn hold(&self, step: Step, skipped: usize) -> Held {
        let ((reached, wait), (open, opened)) = (channel(), channel());
        *self.gate.lock().unwrap() = Some(Gate { step, skipped, reached, opened });
        Held { reached: wait, _opened: open }
    }

    /// What may be under the name once power was lost now: one of these, each as it was synced last.
    pub(crate) fn after_power_loss(&self) -> Vec<Vec<u8>> {
        let disk = self.disk.lock().unwrap();
        disk.names.iter().map(|inode| disk.files.get(inode).cloned().unwrap_or_default()).collect()
    }

    fn come_to(&self, step: Step) -> io::Result<()> {
        let gate = {
            let mut gate = self.gate.lock().unwrap();
            match &mut *gate {
                Some(one) if one.step == step && one.skipped > 0 => {
                    one.skipped -= 1;
                    None
                }
                Some(one) if one.step == step => gate.take(),
                _ => None,
            }
        };
        if let Some(gate) = gate {
            let _ = gate.reached.send(());
            let _ = gate.opened.recv();
        }
        if self.failing.lock().unwrap().contains(&step) {
            return Err(io::Error::other("no space"));
        }
        Ok(())
    }
}

impl FileSystem for Staged {
    fn create(&self, path: &Path) -> io::Result<File> {
        self.come_to(Step::Create)?;
        Host.create(path)
    }

    fn write(&self, file: &File, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.come_to(Step::Write) {
            // Some of it is there.
            Host.write(file, &bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        Host.write(file, bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.come_to(Step::Sync)?;
        let content = fs::read(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file)))?;
        let mut disk = self.disk.lock().unwrap();
        let inode = file.metadata()?.ino();
        disk.files.insert(inode, content);
        if disk.names.is_empty() {
            disk.names.push(inode);
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.come_to(Step::Rename)?;
        Host.rename(from, to)?;
        self.disk.lock().unwrap().names.push(fs::metadata(to)?.ino());
        Ok(())
    }

    fn sync_folder_of(&self, path: &Path) -> io::Result<()> {
        self.come_to(Step::SyncFolder)?;
        self.disk.lock().unwrap().names = vec![fs::metadata(path)?.ino()];
        Ok(())
    }
}
