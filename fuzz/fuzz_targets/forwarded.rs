//! Any `X-Forwarded-For`, `X-Forwarded-Proto` and `Forwarded`: nothing that a client has made up is believed once a proxy
//! has written behind it whom it was sent the request by.
#![no_main]

use admission::{Trust, TrustConfig, came_by_https, parse_forwarded, real_client};
use libfuzzer_sys::fuzz_target;
use notation::{Name, TextOr};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::LazyLock;

const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

static PROXIES: LazyLock<Trust> = LazyLock::new(|| {
    let networks = TrustConfig::Networks(vec![TextOr::Text(Name::new("10.0.0.0/8"))]);
    Trust::load(&networks, Path::new(".")).expect("a network")
});

fuzz_target!(|value: &[u8]| {
    let _ = parse_forwarded(value);
    for trust in [&*PROXIES, &Trust::Everybody] {
        let appended = [value, b", for=192.0.2.1;host=\"a,b;for=8.8.8.8\""].concat();
        assert_eq!(real_client(PROXY, trust, [], [&appended[..]]), CLIENT);
        assert_eq!(real_client(PROXY, trust, [], [value, b"for=192.0.2.1"]), CLIENT);
        let appended = [value, b", 192.0.2.1"].concat();
        assert_eq!(real_client(PROXY, trust, [&appended[..]], [value]), CLIENT);
        assert_eq!(real_client(PROXY, trust, [value, b"192.0.2.1"], [value]), CLIENT);
        assert_eq!(real_client(CLIENT, &PROXIES, [value], [value]), CLIENT);
    }
    let appended = [value, b", proto=http;host=\"a,b;proto=https\""].concat();
    assert!(!came_by_https([], [], [&appended[..]]) && !came_by_https([], [], [value, b"proto=http"]));
    let appended = [value, b", http"].concat();
    assert!(!came_by_https([], [&appended[..]], [value]) && !came_by_https([], [value, b"http"], [value]));
    // Whoever it is, it is somebody: the walk ends.
    let _ = real_client(PROXY, &PROXIES, [value], []);
    let _ = real_client(PROXY, &PROXIES, [], [value, value]);
});
