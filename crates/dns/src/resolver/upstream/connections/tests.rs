//! Connections to servers that do as they are told, over loopback.

use super::*;
use std::future::Future;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

/// A question, told apart by its last octet.
fn question(nth: u8) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(&[1, nth]);
    message
}

async fn read(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let length = stream.read_u16().await.ok()?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await.ok()?;
    Some(message)
}

async fn write(stream: &mut TcpStream, message: &[u8]) {
    let framed = [&(message.len() as u16).to_be_bytes()[..], message].concat();
    stream.write_all(&framed).await.unwrap();
}

struct World {
    connections: Connections,
    dialer: Dialer,
    registry: Registry,
}

impl World {
    /// What is asked, and what the answer says last.
    async fn ask(&self, nth: u8) -> Result<u8, Lost> {
        let asked = question(nth);
        let answer = self.connections.ask(&self.dialer, &asked).await?;
        assert_eq!(answer.message[..2], asked[..2], "with the identifier that it was asked with");
        Ok(*answer.message.last().unwrap())
    }

    fn connections(&self, outcome: &str) -> String {
        let name =
            format!("nines_dns_resolver_upstream_connections_total{{outcome=\"{outcome}\",upstream=\"x\"}} ");
        let text = self.registry.render();
        text.lines().find_map(|line| line.strip_prefix(&name)).unwrap().to_owned()
    }
}

/// Runs a test beside a server.
fn run<S: Future<Output = ()> + 'static>(
    server: impl FnOnce(TcpListener) -> S,
    test: impl AsyncFnOnce(&World),
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap()).parse().unwrap();
        let registry = Registry::new();
        let foreign = registry.counter("foreign", "", &[]);
        let connections = Connections::new(&registry, "x", foreign);
        let world = World { connections, dialer: Dialer::new(Arc::new(address), None), registry };
        let serving = tokio::task::spawn_local(server(listener));
        test(&world).await;
        serving.abort();
    });
}

#[test]
fn many_questions_share_a_connection_and_are_answered_in_any_order() {
    let server = async |listener: TcpListener| {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (first, second, third) = (
            read(&mut stream).await.unwrap(),
            read(&mut stream).await.unwrap(),
            read(&mut stream).await.unwrap(),
        );
        for message in [third, first, second] {
            write(&mut stream, &message).await;
        }
        let again = read(&mut stream).await.unwrap();
        write(&mut stream, &again).await;
        std::future::pending::<()>().await;
    };
    run(server, async |world| {
        let answers = tokio::join!(world.ask(1), world.ask(2), world.ask(3));
        assert_eq!(answers, (Ok(1), Ok(2), Ok(3)));
        assert_eq!(world.ask(4).await, Ok(4));
        assert_eq!((world.connections("opened").as_str(), world.connections.len()), ("1", 1));
    });
}

#[test]
fn a_question_on_a_connection_that_has_ended_is_asked_again_on_another() {
    let server = async |listener: TcpListener| {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            // Two are answered, and the third is read and never heard of again.
            for nth in 0..3 {
                let message = read(&mut stream).await.unwrap();
                if nth < 2 {
                    write(&mut stream, &message).await;
                }
            }
        }
    };
    run(server, async |world| {
        for nth in 1..=4 {
            assert_eq!(world.ask(nth).await, Ok(nth));
        }
        assert_eq!(world.connections("opened"), "2");
        assert!(
            matches!(world.ask(5).await, Err(Lost::Died { .. } | Lost::Unreachable(_))),
            "and not a third time"
        );
    });
}

#[test]
fn servers_that_close_after_each_answer_are_asked_on_connections_that_nobody_shares() {
    let server = async |listener: TcpListener| {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            if let Some(message) = read(&mut stream).await {
                write(&mut stream, &message).await;
            }
        }
    };
    run(server, async |world| {
        let answers = tokio::join!(world.ask(1), world.ask(2), world.ask(3), world.ask(4));
        assert_eq!(answers, (Ok(1), Ok(2), Ok(3), Ok(4)));
    });
}

#[test]
fn a_connection_that_nobody_shares_ends_with_its_question() {
    let (ended, has_ended) = tokio::sync::oneshot::channel();
    let server = async |listener: TcpListener| {
        let (mut first, _) = listener.accept().await.unwrap();
        let _ = read(&mut first).await;
        drop(first);
        let (mut alone, _) = listener.accept().await.unwrap();
        let message = read(&mut alone).await.unwrap();
        write(&mut alone, &message).await;
        let _ = ended.send(read(&mut alone).await);
    };
    run(server, async |world| {
        assert_eq!(world.ask(1).await, Ok(1));
        let ended = tokio::time::timeout(Duration::from_secs(20), has_ended).await;
        assert_eq!(ended.expect("before it was idle for long"), Ok(None));
    });
}

#[test]
fn a_crowd_makes_one_connection_and_hears_why_there_is_none() {
    run(
        async |listener: TcpListener| drop(listener),
        async |world| {
            tokio::task::yield_now().await;
            let (first, second) = tokio::join!(world.ask(1), world.ask(2));
            assert!(
                matches!(&first, Err(Lost::Unreachable(cause)) if cause.contains("refused")),
                "{first:?}"
            );
            assert_eq!(first, second);
            assert_eq!(world.connections("failed"), "1");
        },
    );
}

#[test]
fn one_that_is_never_answered_holds_up_nobody() {
    let server = async |listener: TcpListener| {
        let (mut stream, _) = listener.accept().await.unwrap();
        while let Some(message) = read(&mut stream).await {
            if message.ends_with(&[99]) {
                continue;
            }
            write(&mut stream, &message).await;
        }
    };
    run(server, async |world| {
        let silent = world.ask(99);
        let mut silent = std::pin::pin!(silent);
        for nth in 0..50 {
            tokio::select! {
                biased;
                _ = &mut silent => panic!("it is never answered"),
                answer = world.ask(nth) => assert_eq!(answer, Ok(nth)),
            }
        }
        assert_eq!(world.connections("opened"), "1");
    });
}

#[test]
fn who_sends_what_is_no_message_is_not_listened_to_any_more() {
    let server = async |listener: TcpListener| {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = read(&mut stream).await;
            stream.write_all(b"\0\x05hello").await.unwrap();
            assert_eq!(read(&mut stream).await, None, "it is closed");
        }
    };
    run(server, async |world| {
        assert_eq!(world.ask(1).await, Err(Lost::Died { answered: 0 }));
        assert_eq!(world.connections("opened"), "2");
    });
}

type Requests = h2::server::Connection<tokio::io::DuplexStream, bytes::Bytes>;

/// Runs a test beside a server of HTTP/2, on a connection of its own.
fn run_http<S: Future<Output = ()> + 'static>(
    server: impl FnOnce(Requests) -> S + 'static,
    test: impl AsyncFnOnce(&Line),
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let line = Arc::new(Line::new(Instant::now()));
        let driven = Arc::clone(&line);
        let driving = tokio::task::spawn_local(async move {
            let address = "https://192.0.2.1/q#dns.test".parse().unwrap();
            let _ = http::drive(ours, &driven, &address).await;
            driven.pipeline().end(None);
        });
        let serving =
            tokio::task::spawn_local(async { server(h2::server::handshake(theirs).await.unwrap()).await });
        test(&line).await;
        driving.abort();
        serving.abort();
    });
}

/// Answers a request with the message that it brought, and this field.
async fn echo(
    request: (::http::Request<h2::RecvStream>, h2::server::SendResponse<bytes::Bytes>),
    field: (&str, &str),
) {
    let (request, mut answers) = request;
    let (head, mut body) = request.into_parts();
    assert_eq!((head.method.as_str(), head.uri.to_string().as_str()), ("POST", "https://dns.test/q"));
    assert_eq!(head.headers["content-type"], "application/dns-message");
    let message = body.data().await.unwrap().unwrap();
    assert_eq!(message[..2], [0, 0], "so that caches find it");
    let response = ::http::Response::builder().header(field.0, field.1).body(()).unwrap();
    answers.send_response(response, false).unwrap().send_data(message, true).unwrap();
}

async fn asked(line: &Line, nth: u8) -> Outcome {
    heard(line.submit(&question(nth), Instant::now())).await
}

const OF_TYPE: (&str, &str) = ("content-type", "application/dns-message");

#[test]
fn each_question_is_a_request_and_only_a_message_is_an_answer() {
    let server = async |mut requests: Requests| {
        for field in [OF_TYPE, ("content-type", "text/html")] {
            echo(requests.accept().await.unwrap().unwrap(), field).await;
        }
        requests.accept().await;
    };
    run_http(server, async |line| {
        let answer = asked(line, 1).await.unwrap();
        assert_eq!((answer.message, answer.age_s), (question(1), 0));
        assert!(matches!(asked(line, 2).await, Err(Lost::Unfit(_))));
        assert_eq!(line.pipeline().state(Instant::now()), State::Free, "the connection is good");
    });
}

#[test]
fn one_that_goes_away_is_not_asked_any_more() {
    let server = async |mut requests: Requests| {
        let first = requests.accept().await.unwrap().unwrap();
        requests.abrupt_shutdown(h2::Reason::NO_ERROR);
        drop(first);
        requests.accept().await;
    };
    run_http(server, async |line| {
        assert!(matches!(asked(line, 1).await, Err(Lost::Died { .. })));
        assert_eq!(line.pipeline().state(Instant::now()), State::Over);
        assert_eq!(asked(line, 2).await, Err(Lost::Full));
    });
}
