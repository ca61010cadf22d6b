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
    holder(&TCP, addr)
}

/// The same for UDP: whoever has bound the address.
pub fn listening_process_udp(addr: SocketAddr) -> Option<Process> {
    holder(&UDP, addr)
}

/// The kernel's tables of one protocol, and the state of a socket there that takes what comes.
struct Tables {
    paths: [&'static str; 2],
    state: &'static str,
}

const TCP: Tables = Tables { paths: ["/proc/net/tcp", "/proc/net/tcp6"], state: "0A" };
const UDP: Tables = Tables { paths: ["/proc/net/udp", "/proc/net/udp6"], state: "07" };

/// The kernel gives a table out in pieces, and rows are skipped where others come and go between two of them: what was not
/// found is looked for again.
const LOOKS_MAX: usize = 4;

fn holder(tables: &Tables, addr: SocketAddr) -> Option<Process> {
    let mut looks = (0..LOOKS_MAX).map(|_| listening_inodes(tables, addr));
    let inodes = looks.find(|inodes| !inodes.is_empty())?;
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

fn listening_inodes(tables: &Tables, addr: SocketAddr) -> Vec<u64> {
    tables
        .paths
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| {
            table
                .lines()
                .skip(1)
                .filter_map(|line| parse_row(line, tables.state))
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
fn parse_row(line: &str, listening: &str) -> Option<Row> {
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?.parse().ok()?;
    let (ip, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    (state == listening).then_some(Row { local: SocketAddr::new(parse_ip(ip)?, port), inode })
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn whoever_listens_is_found_by_the_address_and_by_what_covers_it() {
        let loopback = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = loopback.local_addr().unwrap();
        let process = listening_process(addr).unwrap();
        assert_eq!(process.pid, std::process::id());
        assert_eq!(process.name, name_of(process.pid));
        // It is in the way of one who wants every address, too.
        let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, addr.port()));
        assert_eq!(listening_process(everywhere), Some(process.clone()));

        let everywhere = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let port = everywhere.local_addr().unwrap().port();
        assert_eq!(listening_process((Ipv4Addr::LOCALHOST, port).into()), Some(process));
    }

    #[test]
    fn whoever_has_bound_a_port_of_udp_is_found() {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let process = listening_process_udp(socket.local_addr().unwrap()).unwrap();
        assert_eq!(process.pid, std::process::id());
    }

    #[test]
    fn a_bound_port_that_does_not_listen_has_no_listening_process() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(listening_process(client.local_addr().unwrap()), None);
    }

    #[test]
    fn rows_of_the_kernels_table_are_read() {
        let row = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 123456 1 0000000000000000 100 0 0 10 0";
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
        // The table's words are this machine's numbers; the row above is from a little-endian one.
        if cfg!(target_endian = "little") {
            assert_eq!(parse_row(row, TCP.state), Some(Row { local, inode: 123_456 }));
        }
        assert_eq!(parse_row(&row.replace(" 0A ", " 01 "), TCP.state), None, "an established connection");
        let row = "   1: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 77 1 0000000000000000 100 0 0 10 0";
        let local = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 80));
        assert_eq!(parse_row(row, TCP.state), Some(Row { local, inode: 77 }));
        for broken in [
            "",
            "  sl  local_address rem_address   st",
            "0: 0100007F 0:0 0A 0:0 0:0 0 0 0 1",
            "0: 01:1F90 0:0 0A 0:0 0:0 0 0 0 1",
        ] {
            assert_eq!(parse_row(broken, TCP.state), None, "{broken}");
        }
    }

    #[test]
    fn an_address_covers_what_it_listens_for() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for (held, wanted) in [
            ("127.0.0.1", "127.0.0.1"),
            ("0.0.0.0", "127.0.0.1"),
            ("127.0.0.1", "0.0.0.0"),
            ("::", "::1"),
            ("::", "127.0.0.1"),
            ("::1", "::"),
            ("::ffff:127.0.0.1", "127.0.0.1"),
        ] {
            assert!(covers(ip(held), ip(wanted)), "{held} {wanted}");
        }
        for (held, wanted) in
            [("127.0.0.1", "127.0.0.2"), ("0.0.0.0", "::1"), ("::1", "127.0.0.1"), ("::1", "0.0.0.0")]
        {
            assert!(!covers(ip(held), ip(wanted)), "{held} {wanted}");
        }
    }
}
