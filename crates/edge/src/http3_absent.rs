//! A nines that was built without HTTP/3: nothing of it can come to be.

use crate::config::EdgeConfig;
use crate::core::Core;
use bytes::Bytes;
use http::{HeaderMap, Response};
use std::io;
use std::net::UdpSocket;
use std::rc::Rc;
use std::task::{Context, Poll};

pub(crate) enum QuicConfig {}
pub(crate) enum RecvBody {}
pub(crate) enum SendAnswer {}

#[derive(Default)]
pub(crate) struct Endpoints {}

/// Whether this nines was built with HTTP/3.
pub(crate) const IS_HERE: bool = false;

pub(crate) fn config(_: &EdgeConfig, _: &tls::Server) -> Result<Option<QuicConfig>, tls::Error> {
    Ok(None)
}

pub(crate) fn alt_svc_line(_: &EdgeConfig) -> Vec<u8> {
    Vec::new()
}

impl RecvBody {
    pub(crate) fn poll_piece(&mut self, _: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        match *self {}
    }

    pub(crate) fn poll_trailers(&mut self, _: &mut Context<'_>) -> Poll<io::Result<Option<HeaderMap>>> {
        match *self {}
    }
}

impl SendAnswer {
    pub(crate) async fn send_head(&mut self, _: Response<()>, _: bool) -> io::Result<()> {
        match *self {}
    }

    pub(crate) async fn send_some(&mut self, _: &[u8]) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) async fn finish(&mut self, _: &[u8]) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<()> {
        match *self {}
    }

    pub(crate) fn reset(&mut self) {
        match *self {}
    }
}

impl Endpoints {
    pub(crate) async fn close(&self) {}
}

pub(crate) async fn listen(_: Rc<Core>, _: UdpSocket) {
    tracing::error!(target: "edge", "this nines was built without HTTP/3");
}
