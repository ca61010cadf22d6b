//! Who holds a port: for the message that says "already in use".

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A running process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its name, as in `/proc/PID/comm`: at most 15 bytes.
    pub name: String,
}

/// The process that listens at `addr`, or at a wildcard address that covers it.
/// `None` when there is none or we may not know: only root sees other users' files.
pub fn listening_process(addr: SocketAddr) -> Option<Process> {
    let inodes = listening_inodes(addr);
    if inodes.is_empty() {
        return None;
    }
    let targets: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let holds = fs::read_dir(entry.path().join("fd")).ok()?.flatten().any(|fd| {
            fs::read_link(fd.path())
                .is_ok_and(|link| targets.iter().any(|target| link.as_os_str() == target.as_str()))
        });
        holds.then(|| Process { pid, name: name_of(pid) })
    })
}

fn name_of(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).map_or_else(|_| "?".into(), |name| name.trim_end().into())
}

fn listening_inodes(addr: SocketAddr) -> Vec<u64> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| {
            table
                .lines()
                .skip(1)
                .filter_map(parse_row)
                .filter(|row| row.local.port() == addr.port() && covers(row.local.ip(), addr.ip()))
                .map(|row| row.inode)
                .collect::<Vec<_>>()
        })
        .collect()
}

#[derive(Debug, PartialEq)]
struct Row {
    local: SocketAddr,
    inode: u64,
}

/// One listening socket of `/proc/net/tcp{,6}`: `sl local remote st queues tr:tm retrnsmt uid timeout inode …`.
fn parse_row(line: &str) -> Option<Row> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?.parse().ok()?;
    let (ip, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    (state == LISTEN).then_some(Row { local: SocketAddr::new(parse_ip(ip)?, port), inode })
}

/// The kernel prints the address as 32-bit words in network order, each as a number of this machine.
fn parse_ip(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| -> Option<[u8; 4]> {
        u32::from_str_radix(hex.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes)
    };
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let mut octets = [0u8; 16];
            for (index, chunk) in octets.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(index * 8)?);
            }
            Some(IpAddr::V6(Ipv6Addr::from(octets)))
        }
        _ => None,
    }
}

/// Whether a listener at `held` is in the way of one at `wanted`.
fn covers(held: IpAddr, wanted: IpAddr) -> bool {
    let same_family = held.is_ipv4() == wanted.is_ipv4();
    match (held, wanted) {
        _ if held == wanted => true,
        // `::` may be dual-stack, which the table does not tell.
        (IpAddr::V6(held), _) if held.is_unspecified() => true,
        (IpAddr::V6(held), IpAddr::V4(wanted)) => held.to_ipv4_mapped() == Some(wanted),
        _ => same_family && (held.is_unspecified() || wanted.is_unspecified()),
    }
}
