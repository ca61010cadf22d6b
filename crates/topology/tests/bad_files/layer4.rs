use super::says;

#[test]
fn a_listener_names_pools_that_are_there() {
    says(
        "[pool.db]\nservers = ['10.0.0.1:1']\n[tcp.db]\nlisten = '127.0.0.1:1'\npool = 'bd'\nsni = { 'a.test' = 'dbb' }\n",
        &["5:8: unknown pool `bd` (did you mean `db`?)", "6:20: unknown pool `dbb` (did you mean `db`?)"],
    );
    says(
        "[pool.dns]\nservers = ['10.0.0.1:1']\n[udp.dns]\nlisten = '127.0.0.1:1'\npool = 'dsn'\n",
        &["5:8: unknown pool `dsn` (did you mean `dns`?)"],
    );
}

#[test]
fn an_address_is_one_listener_s_but_tcp_and_udp_have_ports_of_their_own() {
    let pool = "[pool.a]\nservers = ['10.0.0.1:1']\n";
    let good = format!(
        "{pool}[tcp.a]\nlisten = '127.0.0.1:53'\npool = 'a'\n[udp.a]\nlisten = '127.0.0.1:53'\npool = 'a'\n"
    );
    says(&good, &[]);
    let bad = format!(
        "{pool}[tcp.a]\nlisten = '127.0.0.1:53'\npool = 'a'\n[tcp.b]\nlisten = ['[::1]:1', '127.0.0.1:53']\npool = 'a'\n"
    );
    says(&bad, &["7:22: a listener of TCP cannot listen on 127.0.0.1:53: it stands there twice"]);
    let bad = format!("{pool}[tcp.a]\nlisten = '127.0.0.1:9900'\npool = 'a'\n");
    says(&bad, &["4:10: a listener of TCP cannot listen on 127.0.0.1:9900: the admin API does"]);
}

#[test]
fn what_a_listener_lacks_is_said_at_its_name() {
    says(
        "[tcp.db]\n",
        &[
            "1:6: tcp db listens nowhere (add `listen = \"127.0.0.1:6432\"`)",
            "1:6: tcp db leads nowhere (add `pool = \"NAME\"`)",
        ],
    );
    says(
        "[udp.Dns]\nlisten = 3\n",
        &[
            "1:6: \"Dns\" cannot be the name of a udp (names are 1 to 63 lower-case letters, digits and hyphens)",
            "2:10: `udp.Dns.listen`: expected an address or an array, found an integer (as a string it is written \"3\")",
        ],
    );
}
