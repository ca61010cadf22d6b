//! Requests that nines answers by itself: redirects, fixed responses, refusals.

use crate::answer::{Answer, ErrorPage, redirect_target};
use crate::core::{Core, Snapshot, Work};
use crate::error::Refusal;
use crate::protocol::{FieldKind, Method, Version};
use crate::request::{After, Client, Report};
use crate::sites::{Action, Route};
use crate::wire::{Coding, Part};
use std::rc::Rc;

/// Answers with a redirect or a fixed response.
pub(crate) async fn answer_ourselves(
    core: &Rc<Core>,
    snapshot: &Snapshot,
    client: &mut Client,
    work: &mut Work,
    route: &Route,
    report: &mut Report,
) -> After {
    let after = discard_body(work, core);
    let Work { request, down, host, path, .. } = &*work;
    let mut lines = Vec::new();
    let (status, content_type, body) = match &route.action {
        Action::Redirect { to, status } => {
            lines.extend_from_slice(b"Location: ");
            redirect_target(to, host, path, request.query.of_head(down.held()), &mut lines);
            lines.extend_from_slice(b"\r\n");
            (*status, "", &b""[..])
        }
        Action::Respond(respond) => {
            let content_type = if respond.body.is_empty() { "" } else { respond.content_type.as_str() };
            (respond.status, content_type, respond.body.as_bytes())
        }
        Action::Pool(_) | Action::Files(_) | Action::Push(_) | Action::Dns => {
            unreachable!("they are answered elsewhere")
        }
    };
    report.status = status;
    let answer = Answer {
        status,
        content_type,
        body,
        length: Some(body.len() as u64),
        lines: &lines,
        edits: Some(&route.response_edits),
        head_only: request.method == Method::Head,
        connection: connection_option(after, request.version),
    };
    send_answer(core, client, work, snapshot, &answer, after, report).await
}

/// Answers with what shows a certificate authority that a name is ours.
pub(crate) async fn answer_proof(
    core: &Rc<Core>,
    snapshot: &Snapshot,
    client: &mut Client,
    work: &mut Work,
    proof: String,
    report: &mut Report,
) -> After {
    let after = discard_body(work, core);
    report.status = 200;
    let answer = Answer {
        status: 200,
        content_type: "application/octet-stream",
        body: proof.as_bytes(),
        length: Some(proof.len() as u64),
        lines: b"",
        edits: None,
        head_only: work.request.method == Method::Head,
        connection: connection_option(after, work.request.version),
    };
    send_answer(core, client, work, snapshot, &answer, after, report).await
}

/// Answers with an error page.
pub(crate) async fn refuse(
    core: &Rc<Core>,
    snapshot: &Snapshot,
    client: &mut Client,
    work: &mut Work,
    refusal: Refusal,
    report: &mut Report,
) -> After {
    let body_is_in_passing = report.tries > 0 && !work.request.body.is_finished();
    let after = if body_is_in_passing || refusal == Refusal::Method {
        // What follows is the rest of a body, or (after CONNECT) no HTTP at all.
        After::Linger
    } else {
        discard_body(work, core)
    };
    let accept = work.request.value(work.down.held(), FieldKind::Accept);
    let is_post = work.request.method == Method::Post;
    if is_post && work.request.value_of(work.down.held(), b"content-type").is_some_and(is_grpc) {
        return refuse_grpc(core, snapshot, client, work, &refusal, after, report).await;
    }
    let mut page = ErrorPage::new(&refusal, &work.ids, accept);
    if let Refusal::HttpsOnly(port) = refusal {
        let port = if port == 443 { String::new() } else { format!(":{port}") };
        let query = work.request.query.of_head(work.down.held());
        page.lines = b"Location: ".to_vec();
        redirect_target(
            &format!("https://{{host}}{port}{{path}}{{query}}"),
            &work.host,
            &work.path,
            query,
            &mut page.lines,
        );
        page.lines.extend_from_slice(b"\r\n");
    }
    let request = &work.request;
    report.status = refusal.status();
    report.cause = Some(refusal.to_string().into());
    let answer = Answer {
        status: report.status,
        content_type: page.content_type,
        body: &page.body,
        length: Some(page.body.len() as u64),
        lines: &page.lines,
        edits: None,
        head_only: request.method == Method::Head,
        connection: connection_option(after, request.version),
    };
    send_answer(core, client, work, snapshot, &answer, after, report).await
}

/// `application/grpc` and its kin, which are not of browsers.
fn is_grpc(content_type: &[u8]) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    content_type.get(..GRPC.len()).is_some_and(|start| start.eq_ignore_ascii_case(GRPC))
        && matches!(content_type.get(GRPC.len()), None | Some(b'+' | b';' | b' '))
}

/// Answers in gRPC's own words: a head that holds the status, and is all there is.
async fn refuse_grpc(
    core: &Core,
    snapshot: &Snapshot,
    client: &mut Client,
    work: &mut Work,
    refusal: &Refusal,
    after: After,
    report: &mut Report,
) -> After {
    let status = refusal.status();
    let words = crate::answer::reason(status);
    let lines = format!(
        "grpc-status: {}\r\ngrpc-message: {words}\r\nCache-Control: no-store\r\n",
        grpc_status(status)
    );
    // What the log says is what happened; that the wire says 200 is gRPC's way.
    report.status = status;
    report.cause = Some(refusal.to_string().into());
    let answer = Answer {
        status: 200,
        content_type: "application/grpc",
        body: b"",
        length: (!work.request.version.is_framed()).then_some(0),
        lines: lines.as_bytes(),
        edits: None,
        head_only: false,
        connection: connection_option(after, work.request.version),
    };
    send_answer(core, client, work, snapshot, &answer, after, report).await
}

/// gRPC over HTTP2, "HTTP to gRPC Status Code Mapping"; and a deadline for what took too long.
fn grpc_status(status: u16) -> u8 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        408 | 504 => 4,
        429 | 502 | 503 => 14,
        _ => 2,
    }
}

/// Takes the request's body out of the buffer if it has come whole; otherwise the connection ends after the
/// answer, since what follows cannot be told from the body.
pub(crate) fn discard_body(work: &mut Work, core: &Core) -> After {
    // In frames, what is not read is told apart from what comes next.
    if work.request.version.is_framed() {
        return After::Keep;
    }
    let mut body = work.request.body.clone();
    let (bytes, from) = work.down.filled_in_place();
    match body.decode(bytes, from) {
        Ok(decoded) if body.is_finished() => {
            work.down.consume_to(decoded.consumed);
            if work.request.persists() && !core.is_draining() { After::Keep } else { After::Close }
        }
        _ => After::Linger,
    }
}

pub(crate) fn connection_option(after: After, version: Version) -> Option<&'static str> {
    match (after, version) {
        (_, Version::Http2 | Version::Http3) | (After::Keep, Version::Http11) => None,
        (After::Keep, Version::Http10) => Some("keep-alive"),
        _ => Some("close"),
    }
}

/// Sends an answer of ours.
pub(crate) async fn send_answer(
    core: &Core,
    client: &mut Client,
    work: &mut Work,
    snapshot: &Snapshot,
    answer: &Answer<'_>,
    after: After,
    report: &mut Report,
) -> After {
    let Work { response_out, extra, ids, timer, .. } = work;
    response_out.clear();
    answer.write_head(core, ids, extra, response_out);
    let data = answer.sent_body();
    report.sent_bytes = data.len() as u64;
    let part = Part { head: response_out, data, end: Some(b"") };
    let idle = snapshot.config.timeout.body_idle.get();
    let (_, mut sink) = client.wire.split();
    match sink.write(part, Coding::Identity, timer, idle).await {
        Ok(()) => after,
        Err(_) => After::Close,
    }
}
