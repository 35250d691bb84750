//! The server of `scnas view`. It listens on this machine alone, and answers those who know the
//! secret in its address: other users of the machine do not, nor do pages from elsewhere that the
//! browser shows. These might know the port and have a name of theirs lead here, so that requests
//! to another name than this machine's are refused, too.

use std::io::Cursor;
use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use scnas::report::view::{Answer, View};
use tiny_http::{Header, Method, Request, Response, StatusCode};

use crate::said::chain;

/// Requests that are answered at a time: a browser asks for volumes and for the state of a run.
const THREADS: usize = 4;

/// Bytes of the secret.
const SECRET: usize = 16;

/// What the browser may do with the page: ask this server, and nobody else. NiiVue has its pictures
/// in itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' \
                      data:; img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// Sent with every answer.
const HEADERS: [(&str, &str); 6] = [
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
];

/// A server that listens.
pub struct Server {
    http: tiny_http::Server,
    port: u16,
    secret: String,
    view: View,
}

impl Server {
    /// Listens on a port of this machine; on a free one where none is given.
    pub fn start(view: View, port: Option<u16>) -> Result<Self> {
        let wanted = port.unwrap_or(0);
        let http = tiny_http::Server::http((Ipv4Addr::LOCALHOST, wanted))
            .map_err(|error| anyhow!("{error}"))
            .with_context(|| match port {
                Some(port) => format!("--port {port}: cannot listen there; give another"),
                None => "cannot listen on any port of 127.0.0.1".into(),
            })?;
        let port = http.server_addr().to_ip().map_or(wanted, |address| address.port());
        let mut secret = [0; SECRET];
        getrandom::fill(&mut secret).context("the system has no random numbers")?;
        let secret = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { http, port, secret, view })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where the page is.
    pub fn address(&self) -> String {
        format!("http://{}:{}/{}/", Ipv4Addr::LOCALHOST, self.port, self.secret)
    }

    /// Answers requests, until the program ends.
    pub fn serve(self) {
        let server = Arc::new(self);
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let server = server.clone();
                std::thread::spawn(move || {
                    while let Ok(request) = server.http.recv() {
                        let response = server.response(&request);
                        // Whoever asked has gone.
                        let _ = request.respond(response);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| drop(thread.join()));
    }

    fn response(&self, request: &Request) -> Response<Cursor<Vec<u8>>> {
        let refused = |code: u16, why: &str| plain(code, format!("{why}\n"));
        if !is_for_this_machine(request) {
            return refused(403, "expected a request to 127.0.0.1 or localhost");
        }
        let path = request.url().split('?').next().unwrap_or("");
        let asked = path.strip_prefix('/').and_then(|path| path.split_once('/'));
        let Some((_, name)) = asked.filter(|(secret, _)| self.is_secret(secret)) else {
            return refused(403, "expected the address that scnas view has printed");
        };
        if *request.method() != Method::Get {
            return refused(405, "expected GET");
        }
        match self.view.answer(name) {
            Ok(Some(answer)) => found(answer),
            Ok(None) => refused(404, "there is no such thing"),
            Err(error) => refused(500, &chain(&error.into())),
        }
    }

    /// Whether a text is the secret; how long that takes tells nothing of it.
    fn is_secret(&self, text: &str) -> bool {
        let pairs = text.bytes().zip(self.secret.bytes());
        text.len() == self.secret.len() && pairs.fold(0, |all, (a, b)| all | (a ^ b)) == 0
    }
}

/// Whether a request names this machine. The port may be another: that of a tunnel.
fn is_for_this_machine(request: &Request) -> bool {
    let mut hosts = request.headers().iter().filter(|header| header.field.equiv("Host"));
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let host = host.value.as_str();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    ["127.0.0.1", "localhost"].iter().any(|own| name.eq_ignore_ascii_case(own))
}

fn found(answer: Answer) -> Response<Cursor<Vec<u8>>> {
    let mut headers = vec![("Content-Type", answer.media)];
    headers.extend(answer.is_gzip.then_some(("Content-Encoding", "gzip")));
    with_headers(200, answer.bytes.into_owned(), &headers)
}

fn plain(code: u16, text: String) -> Response<Cursor<Vec<u8>>> {
    with_headers(code, text.into_bytes(), &[("Content-Type", "text/plain; charset=utf-8")])
}

fn with_headers(code: u16, bytes: Vec<u8>, headers: &[(&str, &str)]) -> Response<Cursor<Vec<u8>>> {
    let all = HEADERS.iter().chain(headers);
    let all = all.filter_map(|(name, value)| Header::from_bytes(*name, *value).ok()).collect();
    let length = bytes.len();
    let response = Response::new(StatusCode(code), all, Cursor::new(bytes), Some(length), None);
    // Of its whole length the browser knows before it comes.
    response.with_chunked_threshold(usize::MAX)
}
