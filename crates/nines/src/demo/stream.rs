//! Answers that take their time: all at once after a while, or bit by bit for as long as somebody listens.

use super::Shop;
use super::accept::{Wanted, wanted};
use super::cart::Cart;
use super::page::{Escaped, page};
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use serde::Deserialize;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

/// The longest wait that may be asked for, in milliseconds.
const MS_MAX: u64 = 10_000;

/// The part of the URL after the question mark.
#[derive(Deserialize)]
pub(super) struct Slow {
    ms: Option<u64>,
}

/// `/slow?ms=`.
pub(super) async fn slow(
    State(shop): State<Arc<Shop>>,
    Query(Slow { ms }): Query<Slow>,
    headers: HeaderMap,
) -> Response {
    let ms = ms.unwrap_or(1000);
    if ms > MS_MAX {
        return (StatusCode::BAD_REQUEST, format!("ms={ms} is above the limit of {MS_MAX}\n"))
            .into_response();
    }
    sleep(Duration::from_millis(ms)).await;
    if wanted(&headers) != Wanted::Html {
        return format!("{} answered after {ms} ms\n", shop.instance).into_response();
    }
    let content = format!(
        "<section class=\"hero\"><h1>Worth the wait</h1><p>{} took {ms} ms for this page. \
         Ask for <a href=\"/slow?ms=5000\">five seconds</a>, or for <a href=\"/slow?ms=50\">next to none</a>.</p></section>",
        Escaped(&shop.instance)
    );
    page(&shop, &Cart::of(&headers), StatusCode::OK, "A slow page · Nine Pots", &content)
}

/// `/events`: Server-Sent Events, one a second, until the client or the instance goes.
pub(super) async fn events(State(shop): State<Arc<Shop>>) -> Response {
    let mut stopping = shop.stopping.subscribe();
    let stopped = async move {
        // An error says that the shop is gone, which is the same.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    };
    let mut every = interval(Duration::from_secs(1));
    every.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let ticks = Ticks { shop, every, count: 0, stopped: Box::pin(stopped) };
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    (headers, Body::new(ticks)).into_response()
}

struct Ticks {
    shop: Arc<Shop>,
    every: Interval,
    count: u64,
    stopped: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl HttpBody for Ticks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.stopped.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        self.every.poll_tick(cx).map(|_| {
            self.count += 1;
            let data = serde_json::json!({ "instance": self.shop.instance, "count": self.count });
            Some(Ok(Frame::data(format!("event: tick\nid: {}\ndata: {data}\n\n", self.count).into())))
        })
    }
}
