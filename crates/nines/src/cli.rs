//! What can be typed: every command, option and example. What they do is in `command/`.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

const EXIT_CODES: &str = "\
Exit codes:
  0    done; for `up`: stopped after draining, or handed over to a new process
  1    failed while running, or the node refused the request
  2    wrong usage
  3    the file is wrong; the problems are on standard error
  4    cannot start: a port is taken, a program is missing, already running
  5    no running node was reached
  130  stopped at once by a second SIGINT (143: by a second SIGTERM)

Environment:
  NINES_LOG          which log lines `up` writes, for example \"info\" or \"debug,balance=trace\"
  NINES_ADMIN_TOKEN  the admin API's token, for commands that ask a running node
  NINES_PUSH_TOKEN   a store's token, for `push`
  NO_COLOR           no colours, on a terminal either";

/// One binary from a DNS name to a database row, described by one file.
#[derive(Debug, Parser)]
#[command(name = "nines", version, after_help = EXIT_CODES, disable_help_subcommand = true, max_term_width = 110)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands, in the order in which a newcomer meets them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run what the file describes, until a signal stops it
    #[command(after_help = "\
Signals:
  SIGTERM, SIGINT  stop accepting, finish what is under way, stop; a second one stops at once
  SIGHUP           reload the file

Examples:
  nines up                      run ./nines.toml
  nines up site.toml            run another file
  nines up --takeover           replace the running process without losing a request
  nines up --log json 2>log     one JSON object a line")]
    Up(UpArgs),

    /// Check the file and say all that is wrong with it
    #[command(after_help = "\
Examples:
  nines check                   check ./nines.toml
  nines check site.toml         check another file
  nines check --json            the problems as JSON, for editors and CI")]
    Check(CheckArgs),

    /// Print the file with every default filled in, or the schema of such files
    #[command(after_help = "\
Examples:
  nines config --effective      what holds, defaults included; again a valid file
  nines config --schema         the JSON Schema, for completion in an editor")]
    Config(ConfigArgs),

    /// Say what happens to a request, a connection, a datagram or a question of DNS: where it goes, and why
    #[command(after_help = "\
The running node is asked; when none is running, the file alone answers.
`tcp:` and `udp:` begin a listener's name, never a host: that is `http://tcp:80/`.

Examples:
  nines explain http://shop.test/cart
  nines explain http://shop.test/cart -X POST -H 'Cookie: shop_at=x'
  nines explain /cart --client 203.0.113.7
  nines explain --cache http://shop.test/img/1.svg       what the cache would do with it, and why
  nines explain tcp:db --client 10.0.0.1 --sni a.test    [tcp.db], by TLS server name
  nines explain udp:dns --client 10.0.0.1:5000           [udp.dns]
  nines explain dns www.shop.test --from 203.0.113.7     [dns], each step of a route
  nines explain dns shop.test --type MX")]
    Explain(ExplainArgs),

    /// Show the running node: listeners, pools and endpoints, live
    #[command(after_help = "\
Examples:
  nines status                  once
  nines status --watch          again every second
  nines status --cache          the cache by site, and which URLs the origin is asked for most
  nines status --json           for programs")]
    Status(StatusArgs),

    /// Apply the changed file to the running node; a file that fails its check changes nothing
    #[command(after_help = "\
Examples:
  nines reload                  reload the node that runs ./nines.toml
  nines reload --json           what changed, for programs")]
    Reload(ReloadArgs),

    /// Send an endpoint no new requests, and let it finish what it has
    #[command(after_help = "\
Examples:
  nines drain shop-1              an instance by its name
  nines drain 10.0.0.1:3000       a server by its address
  nines drain shop-1 --pool web   only in this pool")]
    Drain(DrainArgs),

    /// Send a drained endpoint requests again
    #[command(after_help = "\
Examples:
  nines undrain shop-1
  nines undrain 10.0.0.1:3000 --pool web")]
    Undrain(DrainArgs),

    /// Zones that are signed here, and what the resolver of the running node keeps
    #[command(after_help = "\
Examples:
  nines dns ds shop.test                  the DS for the zone above, and how its key fares
  nines dns ds-seen shop.test --ttl 1d    the zone above has the new DS
  nines dns roll-over shop.test           replace the key now
  nines dns flush www.example.org         forget the answers of a name
  nines dns flush example.org --below     and those of all names below it")]
    Dns {
        #[command(subcommand)]
        what: DnsCommand,
    },

    /// Push a folder to a node, which serves it as one release; or list, switch and remove releases
    #[command(after_help = "\
Only files that the node has not are sent. Files and folders whose names begin with a dot are left
out, but for `.well-known`.

Examples:
  nines push dist assets                    the folder dist becomes what [push.assets] serves
  nines push dist assets --rewrite          pages and style sheets refer to names that change with the content
  nines push dist assets --rewrite --dry-run    what would be pushed, and which names would change
  nines push dist assets --expire 30d --expire tmp/=1d
  nines push dist assets --to http://node-1:9900 --token-env DEPLOY_TOKEN
  nines push assets --list
  nines push assets --rollback              the release before is served again
  nines push assets --rollback --release r7
  nines push assets --delete r3

Environment:
  NINES_PUSH_TOKEN  the store's token, unless --token-env names another variable")]
    Push(PushArgs),

    /// Remove responses from the cache: the next request asks the origin
    #[command(after_help = "\
Examples:
  nines purge https://shop.test/img/1.png         a URL, with all its variants
  nines purge --prefix https://shop.test/img/     all URLs that begin so
  nines purge --tag product-7                     all responses with this surrogate key
  nines purge --all --soft                        all of it is stale: the origin confirms it at its next use")]
    Purge(PurgeArgs),

    /// Sign a URL, so that a route with `signed` lets in whoever has it
    #[command(after_help = "\
Examples:
  nines sign https://shop.test/video/film.mp4                     for an hour
  nines sign https://shop.test/video/film.mp4 --expires 7d --client 203.0.113.0/24
  nines sign https://shop.test/video/film/index.m3u8 --prefix     for all in the folder and below
  nines sign https://shop.test/video/film/ --prefix --cookie      the same as the value of Set-Cookie")]
    Sign(SignArgs),

    /// Print a completion script for a shell
    #[command(after_help = "\
Examples:
  nines completions bash > /etc/bash_completion.d/nines
  nines completions zsh > \"${fpath[1]}/_nines\"
  nines completions fish > ~/.config/fish/completions/nines.fish")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },

    /// Run one instance of the demo shop (what the demo file starts)
    #[command(hide = true, after_help = "Example:\n  nines demo --port 3000")]
    Demo {
        /// The port to serve at, on 127.0.0.1
        #[arg(long)]
        port: u16,
    },

    /// Watch over process groups and end them once standard input closes (started by `up` itself)
    #[command(hide = true)]
    Guard,
}

/// `nines up`.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// The file that describes what to run
    #[arg(default_value = "nines.toml")]
    pub(crate) file: PathBuf,
    /// Take the sockets of the process that runs this file over, and let it drain
    #[arg(long)]
    pub(crate) takeover: bool,
    /// How log lines are written to standard error [default: human on a terminal, else json]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log: Option<LogFormat>,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Human,
    /// One JSON object a line
    Json,
}

/// `nines check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The file to check
    #[arg(default_value = "nines.toml")]
    pub(crate) file: PathBuf,
    /// Print the problems as JSON on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// `nines config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// The file to read
    #[arg(default_value = "nines.toml")]
    pub(crate) file: PathBuf,
    /// Print what holds, with every default filled in
    #[arg(long, required_unless_present = "schema")]
    pub(crate) effective: bool,
    /// Print the JSON Schema of the file
    #[arg(long, conflicts_with_all = ["file", "effective"])]
    pub(crate) schema: bool,
}

/// Where the running node is.
#[derive(Debug, Clone, Args)]
pub(crate) struct NodeArgs {
    /// The file whose `[node] admin` says where the node is [default: nines.toml]
    #[arg(short, long, help_heading = "Node")]
    pub(crate) file: Option<PathBuf>,
    /// The node's admin API, instead of the file's: 127.0.0.1:9900 or http://host:9900
    #[arg(long, value_name = "URL", help_heading = "Node")]
    pub(crate) admin: Option<String>,
}

/// `nines explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The request's URL, or a path for the default site; `tcp:NAME` for a connection to `[tcp.NAME]`, `udp:NAME` for a
    /// datagram to `[udp.NAME]`, `dns` for a question about the name that follows
    #[arg(value_name = "URL|tcp:NAME|udp:NAME|dns")]
    pub(crate) what: String,
    /// The name that is asked for; with `dns` only
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Say what the cache of the running node would do with the request, and why
    #[arg(long)]
    pub(crate) cache: bool,
    /// The request's method [default: GET]
    #[arg(short = 'X', long)]
    pub(crate) method: Option<String>,
    /// A request header, `Name: value`; may be repeated
    #[arg(short = 'H', long = "header", value_name = "HEADER", value_parser = header)]
    pub(crate) headers: Vec<(String, String)>,
    /// The request's body, for routes that ask for JSON fields
    #[arg(short = 'd', long, value_name = "BODY")]
    pub(crate) data: Option<String>,
    /// The type of records that is asked for; with `dns` only [default: A]
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    pub(crate) rtype: Option<String>,
    /// The client's address, for pools that hash it, for allow and deny lists, and for routes of DNS; a port is not looked at
    #[arg(long, visible_alias = "from", value_name = "ADDRESS", value_parser = client)]
    pub(crate) client: Option<IpAddr>,
    /// The server name that the client asks for by TLS; with `tcp:NAME` only
    #[arg(long, value_name = "NAME")]
    pub(crate) sni: Option<String>,
    /// Print the explanation as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// `nines status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Show the cache by site, and the URLs that the origin was asked for most
    #[arg(long)]
    pub(crate) cache: bool,
    /// Print the status as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Show it again every second, until interrupted
    #[arg(short, long)]
    pub(crate) watch: bool,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// `nines reload`.
#[derive(Debug, Args)]
pub(crate) struct ReloadArgs {
    /// Print what changed, or the problems, as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// `nines drain` and `nines undrain`.
#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    /// The endpoint: a name that `nines status` shows, or an address
    pub(crate) endpoint: String,
    /// Only in this pool; needed when several pools have an endpoint of this name
    #[arg(long)]
    pub(crate) pool: Option<String>,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// `nines dns`.
#[derive(Debug, Subcommand)]
pub(crate) enum DnsCommand {
    /// Print the DS that the zone above has to have, as lines of a zone file
    #[command(after_help = "Examples:\n  nines dns ds shop.test")]
    Ds(DnsArgs),
    /// Say that the zone above has the new DS: once nobody remembers the old one, the new key takes its place
    #[command(
        after_help = "Examples:\n  nines dns ds-seen shop.test\n  nines dns ds-seen shop.test --ttl 2d"
    )]
    DsSeen {
        #[command(flatten)]
        args: DnsArgs,
        /// The TTL of the DS in the zone above [default: `sign.ds_ttl` of the file]
        #[arg(long, value_name = "TIME")]
        ttl: Option<String>,
    },
    /// Begin to replace the key that the zone above points to, whatever its age
    #[command(after_help = "Examples:\n  nines dns roll-over shop.test")]
    RollOver(DnsArgs),
    /// Forget what the resolver keeps of a name, so that it is looked up anew
    #[command(after_help = "\
Examples:
  nines dns flush www.example.org             its answers of all types
  nines dns flush example.org --below         and those of all names below it
  nines dns flush . --below                   everything")]
    Flush(FlushArgs),
}

/// `nines dns flush`.
#[derive(Debug, Args)]
pub(crate) struct FlushArgs {
    /// The name whose answers are forgotten
    pub(crate) name: String,
    /// Those of all names below it too
    #[arg(long)]
    pub(crate) below: bool,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// `nines purge`.
#[derive(Debug, Args)]
pub(crate) struct PurgeArgs {
    #[command(flatten)]
    pub(crate) what: PurgeWhat,
    /// Keep it, but ask the origin about it before its next use
    #[arg(long)]
    pub(crate) soft: bool,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// `nines sign`.
#[derive(Debug, Args)]
pub(crate) struct SignArgs {
    /// The URL, as clients ask for it
    pub(crate) url: String,
    /// For how long it is good
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = lifetime)]
    pub(crate) expires: notation::Duration,
    /// For all in the folder of the URL and below, not for the URL alone
    #[arg(long)]
    pub(crate) prefix: bool,
    /// Print a cookie, as the value of `Set-Cookie`, instead of the URL
    #[arg(long)]
    pub(crate) cookie: bool,
    /// For clients of this network alone: 203.0.113.0/24, 2001:db8::1
    #[arg(long, value_name = "NETWORK")]
    pub(crate) client: Option<String>,
    /// The name of the key, where the route has several
    #[arg(long, value_name = "NAME")]
    pub(crate) key: Option<String>,
    /// The file with the keys
    #[arg(short, long, default_value = "nines.toml")]
    pub(crate) file: PathBuf,
}

/// `1h`.
fn lifetime(text: &str) -> Result<notation::Duration, String> {
    let time: notation::Duration = text.parse().map_err(|error| format!("{error}"))?;
    if time.get().as_secs() == 0 { Err("it would have expired at once".into()) } else { Ok(time) }
}

/// A zone of a node.
#[derive(Debug, Args)]
pub(crate) struct DnsArgs {
    /// The zone
    pub(crate) zone: String,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// `nines push`.
#[derive(Debug, Args)]
pub(crate) struct PushArgs {
    /// The folder to push; not with --list, --rollback and --delete
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// The name of `[push.NAME]`; stands alone with --list, --rollback and --delete
    #[arg(value_name = "NAME", required_unless_present_any = ["list", "rollback", "delete"])]
    pub(crate) store: Option<String>,
    /// Point references in HTML and CSS to fingerprinted names; with --dry-run print what would change
    #[arg(long, conflicts_with_all = ["list", "rollback", "delete"])]
    pub(crate) rewrite: bool,
    /// The URL's path that the release is served at, for references that begin with `/`
    #[arg(long, value_name = "PATH", default_value = "/", value_parser = served_at)]
    pub(crate) at: String,
    /// When the release ends, from now on: `30d`; or when what begins with a path does: `tmp/=1d`; may be repeated
    #[arg(long, value_name = "[PATH=]TIME", value_parser = expiry, conflicts_with_all = ["list", "rollback", "delete"])]
    pub(crate) expire: Vec<(String, notation::Duration)>,
    /// Say what would be pushed, and push nothing
    #[arg(long, conflicts_with_all = ["list", "rollback", "delete"])]
    pub(crate) dry_run: bool,
    /// Uploads at once
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=32))]
    pub(crate) parallel: u8,
    /// The new release's name [default: r1, r2, …]; with --rollback the one to serve
    #[arg(long, value_name = "RELEASE", conflicts_with_all = ["list", "delete"])]
    pub(crate) release: Option<push::ReleaseName>,
    /// List the releases
    #[arg(long, conflicts_with_all = ["rollback", "delete", "store"])]
    pub(crate) list: bool,
    /// Serve the release before the one that is served
    #[arg(long, conflicts_with_all = ["delete", "store"])]
    pub(crate) rollback: bool,
    /// Remove a release that is not served
    #[arg(long, value_name = "RELEASE", conflicts_with = "store")]
    pub(crate) delete: Option<push::ReleaseName>,
    /// The node's admin API, instead of the file's: 127.0.0.1:9900 or http://host:9900
    #[arg(long, value_name = "URL", visible_alias = "admin", help_heading = "Node")]
    pub(crate) to: Option<String>,
    /// The environment variable that holds the token
    #[arg(long, value_name = "NAME", help_heading = "Node")]
    pub(crate) token_env: Option<String>,
    /// The file whose `[node] admin` says where the node is [default: nines.toml]
    #[arg(short, long, help_heading = "Node")]
    pub(crate) file: Option<PathBuf>,
}

/// A path of a URL with a slash at both ends.
fn served_at(text: &str) -> Result<String, String> {
    let is_path = text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'));
    match (text.strip_prefix('/'), is_path) {
        (Some(rest), true) if rest.is_empty() || rest.ends_with('/') => Ok(text.to_owned()),
        (Some(_), true) => Ok(format!("{text}/")),
        _ => Err(format!("{text:?} is no path of a URL: \"/assets/\"")),
    }
}

/// `30d`, or `tmp/=1d`.
fn expiry(text: &str) -> Result<(String, notation::Duration), String> {
    let (path, time) = text.rsplit_once('=').unwrap_or(("", text));
    let time: notation::Duration = time.parse().map_err(|error| format!("{error}"))?;
    if time.get().is_zero() { Err("it would have ended at once".into()) } else { Ok((path.to_owned(), time)) }
}

/// One of them.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct PurgeWhat {
    /// The URL, as clients ask for it
    pub(crate) url: Option<String>,
    /// All URLs that begin so
    #[arg(long, value_name = "URL")]
    pub(crate) prefix: Option<String>,
    /// All responses with this surrogate key
    #[arg(long)]
    pub(crate) tag: Option<String>,
    /// All there is
    #[arg(long)]
    pub(crate) all: bool,
}

/// Parses an IP address, with a port or without.
fn client(text: &str) -> Result<IpAddr, String> {
    let with_port = || text.parse().map(|address: SocketAddr| address.ip());
    let parsed = text.parse().or_else(|_| with_port());
    parsed.map_err(|_| format!("{text:?} is not an IP address, nor one with a port"))
}

/// Parses `Name: value`.
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or_else(|| format!("{text:?} is not `Name: value`"))?;
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(token) {
        return Err(format!("{name:?} is not a header's name"));
    }
    Ok((name.to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_hold_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_visible_command_shows_an_example() {
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:\n"), "{} has no example", command.get_name());
        }
    }

    #[test]
    fn every_example_of_the_help_parses() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in help.lines().filter_map(|line| line.trim().strip_prefix("nines ")) {
                let typed =
                    line.split("  ").next().unwrap_or_default().split(" > ").next().unwrap_or_default();
                let typed = typed.split(" 2>").next().unwrap_or_default();
                let words = shell_words(typed);
                let parsed = Cli::try_parse_from(std::iter::once("nines".to_owned()).chain(words));
                assert!(parsed.is_ok(), "`nines {typed}`: {parsed:?}");
            }
        }
    }

    /// Splits at spaces outside single quotes: as much of a shell as the examples use.
    fn shell_words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
        for c in line.chars() {
            match c {
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.push(std::mem::take(&mut word)),
                c => word.push(c),
            }
        }
        words.push(word);
        words.retain(|word| !word.is_empty());
        words
    }

    #[test]
    fn a_client_is_an_address_and_its_port_says_nothing() {
        for (text, address) in [
            ("10.0.0.1", "10.0.0.1"),
            ("10.0.0.1:5000", "10.0.0.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]:5000", "2001:db8::1"),
        ] {
            assert_eq!(client(text).unwrap(), address.parse::<IpAddr>().unwrap(), "{text}");
        }
        for text in ["", "shop.test", "10.0.0.1:", "10.0.0.1:70000", "[2001:db8::1]"] {
            assert!(client(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_header_is_split_at_its_first_colon_and_its_name_is_checked() {
        assert_eq!(header("X-A: b:c").unwrap(), ("X-A".into(), "b:c".into()));
        assert!(header("no colon").is_err());
        assert!(header("bad name: x").is_err());
    }
}
